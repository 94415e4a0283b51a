"""What an outcome means for its message, and for the account: moves in the table of transitions, never guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from conwp_bot.model.delivery import Cause, OnUnknown
from conwp_bot.model.message import Outgoing
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Outcome, Refused, Unknown

FIRST_BACKOFF = timedelta(seconds=2)
LONGEST_BACKOFF = timedelta(minutes=10)
FREEZE = timedelta(seconds=60)
"""How long an account is left alone after a 429 that does not say."""
LONGEST_FREEZE = timedelta(hours=1)
PARK = timedelta(minutes=15)
"""How long an account is left alone after a 401 or 403, before one message tries the key again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One message's next move: the cause, why, and when it may be tried again."""

    cause: Cause
    reason: str | None = None
    not_before: datetime | None = None
    tries: int = 0
    faults: int = 0
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class AccountWait:
    """The account is left alone until then; `because` is one word for programs, `detail` a sentence for people."""

    until: datetime
    because: str
    detail: str


def backoff(count: int, jitter: float) -> timedelta:
    """Return how long to wait after the `count`-th failure (1 is the first): doubling from 2 s to 10 min.

    `jitter` in [0, 1) takes away up to half, so that messages that failed together do not come back together.
    """
    doubled: timedelta = FIRST_BACKOFF * (1 << min(count - 1, 20))
    return min(doubled, LONGEST_BACKOFF) * (1 - jitter / 2)


def verdicts(
    messages: Sequence[Outgoing], outcome: Outcome, *, now: datetime, jitter: float
) -> list[tuple[Verdict, ...]]:
    """Say for each message of a request what comes next; a doubt is followed by what the message's policy says."""
    match outcome:
        case Accepted(provider_ids):
            return [
                (Verdict(Cause.ACCEPT, provider_id=provider_id),)
                for _, provider_id in zip(messages, provider_ids, strict=True)
            ]
        case Limited():
            return [(Verdict(Cause.NOT_SENT, "ConWP says the budget is used up", now),) for _ in messages]
        case Refused(status, detail):
            return [
                (Verdict(Cause.NOT_SENT, _said(f"ConWP refused the key ({status})", detail), now),) for _ in messages
            ]
        case Invalid(detail) if len(messages) == 1:
            return [(Verdict(Cause.REJECT, _said("ConWP says the request is invalid", detail)),)]
        case Invalid(detail):
            # A batch that is refused as a whole says nothing of its messages: each goes alone, at once.
            return [(Verdict(Cause.NOT_SENT, "sent alone after a refused batch", now, tries=1),) for _ in messages]
        case Failed(detail, environment=True):
            return [
                (
                    Verdict(
                        Cause.NOT_SENT,
                        _said("not sent", detail),
                        now + backoff(message.faults + 1, jitter),
                        faults=1,
                    ),
                )
                for message in messages
            ]
        case Failed(detail):
            return [_after_refusal(message, detail, now, jitter) for message in messages]
        case Unknown(detail):
            return [_after_doubt(message.on_unknown, message.resends, detail, now) for message in messages]


def after_doubt(on_unknown: OnUnknown, resends: int, detail: str, now: datetime) -> tuple[Verdict, ...]:
    """Say what becomes of a message that was in flight when its answer was lost, and what its policy makes of that."""
    return _after_doubt(on_unknown, resends, detail, now)


def account_wait(outcome: Outcome, *, now: datetime, frozen_before: int) -> AccountWait | None:
    """Say whether the account is to be left alone after this outcome; `frozen_before` counts the 429s in a row before it."""
    match outcome:
        case Limited(retry_at, detail):
            if retry_at is None:
                retry_at = now + min(FREEZE * (1 << min(frozen_before, 6)), LONGEST_FREEZE)
            return AccountWait(retry_at, "limited", _said("ConWP answered 429", detail))
        case Refused(status, detail):
            return AccountWait(
                now + PARK, "refused", _said(f"ConWP answered {status}: look at the account's api_key", detail)
            )
        case _:
            return None


def _after_refusal(message: Outgoing, detail: str, now: datetime, jitter: float) -> tuple[Verdict, ...]:
    tries = message.tries + 1
    if tries >= message.attempts_allowed:
        return (Verdict(Cause.REJECT, _said(f"not sent after {tries} attempts", detail), tries=1),)
    return (Verdict(Cause.NOT_SENT, _said("not sent", detail), now + backoff(tries, jitter), tries=1),)


def _after_doubt(on_unknown: OnUnknown, resends: int, detail: str, now: datetime) -> tuple[Verdict, ...]:
    doubt = Verdict(Cause.DOUBT, _said("it may have gone out", detail))
    match on_unknown:
        case OnUnknown.RESEND if resends == 0:
            return doubt, Verdict(Cause.RESEND, _said("sent once more, because it may not have gone out", detail), now)
        case OnUnknown.DROP:
            return doubt, Verdict(Cause.DROP, _said("left, because it may have gone out", detail))
        case _:
            return doubt, Verdict(Cause.HOLD, _said("it may have gone out; a person decides", detail))


def _said(what: str, detail: str) -> str:
    return f"{what}: {detail}" if detail else what
