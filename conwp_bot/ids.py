"""Identifiers: short texts that sort by the time they were made.

48 bits of milliseconds and 40 random bits in lower-case Crockford base 32 (no i, l, o, u), with a prefix that says what is
named: `ev_`, `run_`, `msg_`, `req_`. A person may type the beginning of one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 40


class Ids:
    """Makes identifiers; those made within one millisecond still sort in the order they were made."""

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._random_bits = random_bits
        self._last = 0

    def make(self, prefix: str, now: datetime) -> str:
        """Make the next identifier; `now` is aware, and a clock that goes back does not make an earlier one."""
        value = (int(now.timestamp() * 1000) << _RANDOM_BITS) | self._random_bits(_RANDOM_BITS)
        if value >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
            # The same millisecond (or a clock that went back): a small random step keeps order without being guessable.
            value = self._last + 1 + self._random_bits(16)
        self._last = value
        return _written(prefix, value)


def first_id(prefix: str, at: datetime) -> str:
    """Return what every identifier made at `at` or later sorts behind: all below it are older, whatever else is."""
    return _written(prefix, int(at.timestamp() * 1000) << _RANDOM_BITS)


def _written(prefix: str, value: int) -> str:
    letters = []
    for _ in range(18):
        letters.append(_ALPHABET[value & 31])
        value >>= 5
    return f"{prefix}_{''.join(reversed(letters))}"
