"""The types that templates handle, by the names that a flow's author knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

NUMBERS = (int, float, Decimal)
LISTS = (list, tuple, range)


def describe(value: Any) -> str:
    """Say what a value is: `a text`, `a number`, `a list`… Never says the value itself, which may be large or private."""
    if value is None:
        return "none"
    for types, name in _NAMES:
        if isinstance(value, types):
            return name
    return str(getattr(type(value), "described_as", "a value of its own kind"))


# bool is an int and datetime is a date, so they come first.
_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "a text"),
    (NUMBERS, "a number"),
    (LISTS, "a list"),
    (Mapping, "a mapping"),
    (datetime, "a date with a time"),
    (date, "a date"),
    (time, "a time"),
    (timedelta, "a length of time"),
)


def is_scalar(value: Any) -> bool:
    """Say whether a value has a size that is known at once: what may be a mapping's key."""
    return value is None or isinstance(value, (str, int, float, Decimal, date, time, timedelta))
