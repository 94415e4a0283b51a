"""The rows that a call of `advance` has at hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from conwp_bot.model.event import Event
from conwp_bot.model.rows import Row
from conwp_bot.runs.happening import Happened, RowsRead
from conwp_bot.runs.scope import rows_of


class RowSupply:
    """Rows by number: those just read from the event's file, or those that a hand-made event brought along."""

    def __init__(self, event: Event, happened: Happened) -> None:
        self._brought = rows_of(event)
        self._read = happened if isinstance(happened, RowsRead) else RowsRead(0, (), end=False)
        self._next = 0

    def after(self, number: int) -> Row | None:
        """Return the first row at hand with a greater number."""
        if self._brought is not None:
            return _brought_row(self._brought, number)
        rows = self._read.rows
        if number < self._read.start or not rows or number >= rows[-1].number:
            return None
        # Nearly always the one after the last one asked for.
        if not (self._next < len(rows) and rows[self._next].number > number and self._before(number)):
            self._next = bisect_right(rows, number, key=lambda row: row.number)
        row = rows[self._next]
        self._next += 1
        return row

    def ends_with(self, number: int) -> bool:
        """Say whether no row of the event comes after `number`, as far as is known."""
        if self._brought is not None:
            return number >= len(self._brought)
        read = self._read
        last = read.rows[-1].number if read.rows else read.start
        return read.end and number >= max(last, read.start)

    def _before(self, number: int) -> bool:
        return self._next == 0 or self._read.rows[self._next - 1].number <= number


def _brought_row(rows: Sequence[Mapping[str, Any]], number: int) -> Row | None:
    return Row(number + 1, rows[number]) if number < len(rows) else None
