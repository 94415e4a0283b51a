"""Lengths of time as people write them: `30s`, `5m`, `6h`, `30d`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta

_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h|d|w)")
_LENGTH = re.compile(rf"(?:{_PART.pattern}\s*)+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST = timedelta(days=3660)


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `5m`, `1h30m`, `2d`; raises ValueError with the reason for anything else, also above ten years."""
    compact = text.strip().lower()
    if not _LENGTH.fullmatch(compact):
        raise ValueError(f"{text!r} is no length of time; write a number and a unit, e.g. 30s, 5m, 6h, 7d, 1h30m")
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in _PART.finditer(compact))
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than ten years")
    return timedelta(seconds=seconds)


def format_duration(length: timedelta) -> str:
    """Write a length the way it is read: the largest units first, no zero parts; `0s` for none."""
    milliseconds = round(length.total_seconds() * 1000)
    if milliseconds <= 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
