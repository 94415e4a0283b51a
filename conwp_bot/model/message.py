"""One rendered content for one recipient, and its delivery as the outbox keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from conwp_bot.model.delivery import DeliveryClass, OnUnknown, State
from conwp_bot.model.recipient import Recipient


@dataclass(frozen=True, slots=True)
class Content:
    """What is sent: text, and optionally a medium (`kind` is ConWP's `message_type`)."""

    text: str
    kind: str = "text"
    media_url: str | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message as a run gives birth to it.

    `state` is pending, or final from the start with its `reason` (a number that is not valid: failed). `recipient` is then what
    the flow wrote, shortened.
    """

    id: str
    flow: str
    run: str
    step: str
    account: str
    recipient: str
    content: Content
    klass: DeliveryClass
    on_unknown: OnUnknown
    attempts_allowed: int
    created_at: datetime
    expires_at: datetime
    state: State = State.PENDING
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A claimed message, with all that the way to the API needs; `tries` are the answers that said no so far."""

    id: str
    flow: str
    run: str
    account: str
    recipient: Recipient
    content: Content
    klass: DeliveryClass
    on_unknown: OnUnknown
    attempts_allowed: int
    tries: int
    faults: int
    resends: int
    expires_at: datetime
    lease: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending message that is due, as much of it as planning needs; `alone` keeps it out of bulk requests."""

    id: str
    flow: str
    recipient: str
    not_before: datetime
    alone: bool = False
