"""The fact that a trigger fired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What fired: a trigger's kind, or a person."""

    CRON = "cron"
    WEBHOOK = "webhook"
    FILE = "file"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Event:
    """One firing of one trigger; templates see it as `event`.

    `key` makes repeats recognisable: a second event with the same flow, trigger and key is not stored, and its sender is
    answered with the first one's id. `data` is JSON (after `model.plain`): what its kind brings, e.g. `payload`, `headers`
    and `query` of a webhook, `scheduled_at` of a schedule, `file` of a dropped file.
    """

    id: str
    flow: str
    trigger: str
    kind: EventKind
    occurred_at: datetime
    key: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """The answer of intake: the id under which the event is stored, and whether this very one was it."""

    event: str
    first: bool
    run: str | None = None


@dataclass(frozen=True, slots=True)
class SlotMark:
    """How far a schedule has been worked off; stored in the commit of the slot's event, so that neither is without the other."""

    flow: str
    trigger: str
    spec: str
    done_until: datetime
