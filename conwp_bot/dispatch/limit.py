"""May one more request begin, and if not, when?"""

from __future__ import annotations

from datetime import datetime, timedelta

from conwp_bot.model.budget import Admit, Limit, Usage, Wait

MARGIN = 0.01
"""The share of an account's limit that is never used: room for somebody who looks at ConWP's own pages with the same key."""

RECHECK = timedelta(seconds=5)
"""How long to wait when a slot is held by requests whose end is not known yet."""


def usable(limit: Limit) -> Limit:
    """Return the limit less its margin; a limit under 100 has none, it would be a slot too much."""
    return Limit(max(1, limit.count - int(limit.count * MARGIN)), limit.span)


def admit(limit: Limit, usage: Usage, *, because: str, now: datetime) -> Admit | Wait:
    """Say whether one more request fits `limit` at `now`, or when it will.

    The window is any span of the limit's length: ConWP does not say whether its hour is fixed or rolling, and this satisfies
    both. Every request counts, failed ones too, and so does one dated after `now`, because clocks go back and the provider's
    memory does not. `usage` is the ledger's count of requests that are open or ended within the span.
    """
    left = limit.count - usage.used
    if left > 0:
        return Admit(left)
    until = usage.frees_at if usage.frees_at is not None else now + RECHECK
    return Wait(max(until, now + timedelta(milliseconds=1)), because)
