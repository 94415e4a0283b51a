"""An event's rows, read in a thread and a little ahead of the run that needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from conwp_bot.model.event import Event
from conwp_bot.model.rows import Row, RowSource
from conwp_bot.runs.happening import ReadRows, RowsRead

READ_AHEAD = 500
"""Rows per trip to the thread: enough that the trip costs nothing, few enough that memory stays flat."""


class RowReader:
    """The rows of one run; one call of `rows` at a time. `close` when the run is done with them."""

    def __init__(self, source: RowSource, event: Event) -> None:
        self._source = source
        self._event = event
        self._open: Iterator[Row] | None = None
        self._at_hand: list[Row] = []  # in order, all greater than _start
        self._start = 0
        self._end = False
        self._coming: asyncio.Task[tuple[list[Row], bool]] | None = None

    async def rows(self, need: ReadRows) -> RowsRead:
        """Return the next rows after `need.start`; raises OSError or ValueError when the file cannot be read."""
        if self._open is None or need.start < self._start:
            await self.close()
            self._open = self._source.rows(self._event, need.start)
            self._start = need.start
        self._drop_until(need.start)
        while not self._at_hand and not self._end:
            rows, self._end = await (self._coming or self._trip())
            self._coming = None
            self._at_hand = rows
            self._drop_until(need.start)
        if len(self._at_hand) <= need.count and not self._end and self._coming is None:
            self._coming = self._trip()
        rows = self._at_hand[: need.count]
        return RowsRead(need.start, rows, end=self._end and len(rows) == len(self._at_hand))

    async def close(self) -> None:
        """Let go of the file."""
        if self._coming is not None:
            try:
                await self._coming  # a thread cannot be told to stop, and must not be reading what we close
            except (OSError, ValueError):
                pass
            self._coming = None
        if self._open is not None:
            close = getattr(self._open, "close", None)
            if close is not None:
                await asyncio.to_thread(close)
        self._open = None
        self._at_hand = []
        self._start = 0
        self._end = False

    def _drop_until(self, number: int) -> None:
        self._start = number
        if self._at_hand and self._at_hand[0].number <= number:
            self._at_hand = [row for row in self._at_hand if row.number > number]

    def _trip(self) -> asyncio.Task[tuple[list[Row], bool]]:
        assert self._open is not None
        return asyncio.create_task(asyncio.to_thread(_take, self._open))


def _take(rows: Iterator[Row]) -> tuple[list[Row], bool]:
    taken = list(islice(rows, READ_AHEAD))
    return taken, len(taken) < READ_AHEAD
