"""Rows of a dropped file, as they stream from its reader to a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from conwp_bot.model.event import Event


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a table: its number (1 is the first record, headers do not count), and its values by column.

    A row that cannot be used has `reason` instead; `raw` is what stood there, for the file of rejected rows. `whole` says that it
    stands for the whole file: no row of it can be used, and its run has failed.
    """

    number: int
    values: Mapping[str, Any] | None
    reason: str | None = None
    raw: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that led to no message, and why."""

    number: int
    reason: str
    raw: str


class RowSource(Protocol):
    """Opens an event's rows; the same event gives the same rows in the same order, through any restart."""

    def rows(self, event: Event, start: int) -> Iterator[Row]:
        """Yield the rows with a number greater than `start`; raises OSError or ValueError when the file cannot be read."""
