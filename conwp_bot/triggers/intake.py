"""What sources need of the other stages, as protocols: the composition root brings them together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from conwp_bot.flows.flow import Flow, Scope
from conwp_bot.model.event import Event, EventReceipt, SlotMark
from conwp_bot.model.secret import Secret


class Intake(Protocol):
    """The one entrance by which events become runs."""

    async def accept(self, flow: Flow, event: Event, *, mark: SlotMark | None = None) -> EventReceipt:
        """Store the event with its run, and `mark` in the same commit; returns once durable. Raises StoreBusy, StoreClosed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a schedule has been worked off, as stored; `spec` is the schedule it was worked off under."""

    spec: str
    done_until: datetime


class SlotStore(Protocol):
    """The stored cursors of schedules, by flow and trigger."""

    async def cursors(self) -> Mapping[tuple[str, str], Cursor]:
        """Return all of them."""

    async def put(self, marks: Sequence[SlotMark]) -> None:
        """Store cursors that belong to no event: of new schedules, and past slots that nobody wanted. Raises StoreBusy."""


Resolve = Callable[[str], Secret | None]
"""Reads a secret from where its source (`${ENV}`, `file:`, `credential:`) says; None when there is nothing."""

KeyScope = Callable[[Flow, Event], Scope]
"""Makes what a trigger's `key` expression sees."""

Known = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Says which of these event ids are stored."""
