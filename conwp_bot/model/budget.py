"""Budgets: how many requests in any span of a length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from conwp_bot.model.duration import format_duration, parse_duration

_LIMIT = re.compile(r"(?P<count>\d{1,9})\s*/\s*(?P<span>.+)")
_SPANS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


LONGEST_SPAN = timedelta(days=7)
"""The ledger is kept for a day longer (`store/retention.py`), however short `retention` is."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` in any span of this length, however aligned. Written `1000/hour`, `20/minute`, `5/10s`."""

    count: int
    span: timedelta

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `N/hour`, `N/minute`, `N/10s`…; raises ValueError with the reason."""
        match = _LIMIT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no limit; write a count and a span, e.g. 1000/hour, 20/minute, 5/10s")
        count = int(match["count"])
        span = _SPANS.get(match["span"].strip()) or parse_duration(match["span"])
        if count < 1:
            raise ValueError("a limit of 0 would never send; use 1 or more")
        if span <= timedelta(0):
            raise ValueError("the span of a limit must be longer than 0")
        if span > LONGEST_SPAN:
            raise ValueError("a limit looks back a week at most")
        return cls(count, span)

    @classmethod
    def of_ms(cls, count: int, span_ms: int) -> Limit:
        """Build a limit from what the store keeps of it."""
        return cls(count, timedelta(milliseconds=span_ms))

    def __str__(self) -> str:
        for name, span in _SPANS.items():
            if span == self.span:
                return f"{self.count}/{name}"
        return f"{self.count}/{format_duration(self.span)}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a ledger says of one account or flow at an instant.

    `used` counts the requests that are open or ended within the limit's span; `frees_at` is when the next of them leaves
    the span (None when nothing is used, or when only open requests are).
    """

    used: int
    frees_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """One more request fits."""

    left: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: why, and when it is worth asking again."""

    until: datetime
    because: str
