"""The life of a delivery: its states, what moves it, and the policy that its flow gives it.

The table is the truth: the docs' diagram is drawn from it and a test walks every pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from conwp_bot.errors import ImpossibleTransition
from conwp_bot.model.budget import Limit


class State(StrEnum):
    """Where a message stands on its way to the API."""

    PENDING = "pending"
    CLAIMED = "claimed"
    IN_FLIGHT = "in_flight"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    HELD = "held"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


FINAL = frozenset({State.ACCEPTED, State.FAILED, State.EXPIRED, State.CANCELLED, State.SUPPRESSED})
"""States that nothing leaves."""


class Cause(StrEnum):
    """What moves a delivery from one state to the next."""

    CLAIM = "claim"  # a dispatcher takes it for a lease
    RELEASE = "release"  # connection failed, lease over, shutdown, not admitted: no byte was written
    RESERVE = "reserve"  # attempt, budget slot and mark committed, just before the first byte
    ACCEPT = "accept"  # a clean success
    NOT_SENT = "not_sent"  # proved not sent, worth another try
    REJECT = "reject"  # proved not sent, and never will be (or its attempts are used up)
    DOUBT = "doubt"  # no clean answer; crash or lease over while in flight
    HOLD = "hold"  # policy for unknown: a person decides
    RESEND = "resend"  # policy or person: send it once more, marked
    DROP = "drop"  # policy or person: leave it
    SETTLE_SENT = "settle_sent"  # evidence or person: it went out
    SETTLE_NOT_SENT = "settle_not_sent"  # evidence: it did not go out
    EXPIRE = "expire"  # not accepted by its time
    CANCEL = "cancel"  # a person, or the flow's limit with `over_limit: drop`
    SUPPRESS = "suppress"  # its recipient opted out


TRANSITIONS: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        (State.PENDING, Cause.CLAIM): State.CLAIMED,
        (State.PENDING, Cause.EXPIRE): State.EXPIRED,
        (State.PENDING, Cause.CANCEL): State.CANCELLED,
        (State.PENDING, Cause.SUPPRESS): State.SUPPRESSED,
        (State.CLAIMED, Cause.RELEASE): State.PENDING,
        (State.CLAIMED, Cause.RESERVE): State.IN_FLIGHT,
        (State.IN_FLIGHT, Cause.ACCEPT): State.ACCEPTED,
        (State.IN_FLIGHT, Cause.NOT_SENT): State.PENDING,
        (State.IN_FLIGHT, Cause.REJECT): State.FAILED,
        (State.IN_FLIGHT, Cause.DOUBT): State.UNKNOWN,
        (State.UNKNOWN, Cause.HOLD): State.HELD,
        (State.UNKNOWN, Cause.RESEND): State.PENDING,
        (State.UNKNOWN, Cause.DROP): State.CANCELLED,
        (State.UNKNOWN, Cause.SETTLE_SENT): State.ACCEPTED,
        (State.UNKNOWN, Cause.SETTLE_NOT_SENT): State.PENDING,
        (State.HELD, Cause.RESEND): State.PENDING,
        (State.HELD, Cause.DROP): State.CANCELLED,
        (State.HELD, Cause.SETTLE_SENT): State.ACCEPTED,
        (State.HELD, Cause.SETTLE_NOT_SENT): State.PENDING,
    }
)


def next_state(state: State, cause: Cause) -> State:
    """Return the state that `cause` leads to from `state`; raises ImpossibleTransition for a pair the table does not have."""
    try:
        return TRANSITIONS[state, cause]
    except KeyError:
        raise ImpossibleTransition(f"a message that is {state} cannot be moved by {cause}") from None


def sources(cause: Cause) -> tuple[State, ...]:
    """Return the states that `cause` may leave, for the WHERE clause of an update."""
    return tuple(state for state, other in TRANSITIONS if other is cause)


class DeliveryClass(StrEnum):
    """How urgent a flow's messages are; alerts go first, campaigns take what is left."""

    ALERT = "alert"
    NORMAL = "normal"
    CAMPAIGN = "campaign"

    @property
    def rank(self) -> int:
        """The order in which classes are served: 0 first."""
        return _RANKS[self]


_RANKS = {DeliveryClass.ALERT: 0, DeliveryClass.NORMAL: 1, DeliveryClass.CAMPAIGN: 2}


class OnUnknown(StrEnum):
    """What to do with a send whose answer was lost."""

    HOLD = "hold"
    RESEND = "resend"
    DROP = "drop"


class OverLimit(StrEnum):
    """What to do with a message over its flow's limit."""

    WAIT = "wait"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What a flow asks for its messages; defaults depend on the class (`policy_for`)."""

    klass: DeliveryClass
    expires: timedelta
    on_unknown: OnUnknown
    attempts: int
    limit: Limit | None
    over_limit: OverLimit
    account: str


_EXPIRES = {DeliveryClass.ALERT: timedelta(hours=1)}
_ON_UNKNOWN = {DeliveryClass.ALERT: OnUnknown.RESEND, DeliveryClass.CAMPAIGN: OnUnknown.DROP}
DEFAULT_ATTEMPTS = 8
DEFAULT_ACCOUNT = "default"


def policy_for(
    klass: DeliveryClass = DeliveryClass.NORMAL,
    *,
    expires: timedelta | None = None,
    on_unknown: OnUnknown | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
    limit: Limit | None = None,
    over_limit: OverLimit = OverLimit.WAIT,
    account: str = DEFAULT_ACCOUNT,
) -> DeliveryPolicy:
    """Complete what a flow says with its class's defaults: `expires` 24 h (alert 1 h), `on_unknown` hold (alert resend, campaign drop)."""
    return DeliveryPolicy(
        klass=klass,
        expires=expires or _EXPIRES.get(klass, timedelta(hours=24)),
        on_unknown=on_unknown or _ON_UNKNOWN.get(klass, OnUnknown.HOLD),
        attempts=attempts,
        limit=limit,
        over_limit=over_limit,
        account=account,
    )
