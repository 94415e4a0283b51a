"""What `advance` is told and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conwp_bot.model.message import NewMessage
from conwp_bot.model.rows import Reject, Row
from conwp_bot.model.run import RunProgress, RunState, TraceEntry


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far one call goes, and how far a run may go at all.

    A call ends at the first resting place after `messages` or `steps`; resting places are between steps, and in a loop over the
    event's rows between rows. `row_messages` and `row_steps` bound what one row may do (it is rejected beyond), `items` a loop's
    list, `run_steps` a run's steps outside of rows, `text` a message's characters.
    """

    messages: int = 500
    steps: int = 10_000
    rows: int = 500
    row_messages: int = 500
    row_steps: int = 10_000
    items: int = 100_000
    run_steps: int = 2_000_000
    text: int = 4096
    trace: int = 200
    trace_each: int = 20


@dataclass(frozen=True, slots=True)
class Began:
    """The run begins: nothing of it has been worked yet."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on from its progress: after a `Continue`, or after a restart."""


@dataclass(frozen=True, slots=True)
class RowsRead:
    """The rows after number `start`, in order; `end` when none come after these."""

    start: int
    rows: Sequence[Row]
    end: bool


Happened = Began | Resumed | RowsRead


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Commit this, then come again with up to `count` rows whose numbers are greater than `start`."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Continue:
    """Commit this, then come again."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a `log` step says; written once its chunk is committed."""

    step: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """What a run did: to be committed in one piece. `need` is None once the run has ended; `trace` holds only what is new."""

    progress: RunProgress
    state: RunState
    messages: tuple[NewMessage, ...]
    rejects: tuple[Reject, ...]
    trace: tuple[TraceEntry, ...]
    logs: tuple[LogLine, ...]
    need: ReadRows | Continue | None
    failure: str | None = None
