"""One evaluation of one flow for one event."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """`running` has steps left (and is resumed after a restart); the others are final."""

    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"  # the flow's `when` said no
    STOPPED = "stopped"  # a `stop` step
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """What one step did: for the answer to "why?".

    `step` is the step's id or its address (`steps[1].steps[0]`), `did` one word (sent, skipped, set, logged, looped, stopped, failed,
    rejected), `detail` a sentence with the values that decided, `item` the index in the innermost loop.
    """

    at: datetime
    step: str
    did: str
    detail: str = ""
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A block being worked through: which one, the next step in it, and for a loop the item it is at.

    `items` is the loop's list as JSON, or None for rows that are streamed from the event; `name` is the loop's `as`.
    """

    block: str
    at: int = 0
    loop: bool = False
    name: str = ""
    index: int = 0
    items: list[Any] | None = None
    current: Any = None


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands between two commits; JSON in the store, so that a restart goes on from here.

    `steps` counts the steps done outside of the event's rows, `rows` is the number of the last row that was taken. `traced` and
    `counted` say, by step and deed, how many trace entries were kept whole and how many more were only counted.
    """

    stack: tuple[Frame, ...]
    values: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    messages: int = 0
    rejected: int = 0
    steps: int = 0
    rows: int = 0
    traced: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The identity of a run: which version of which flow, for which event, since when."""

    id: str
    flow: str
    flow_hash: str
    event: str
    started_at: datetime
