"""What a run may keep between two commits: JSON's types, dates, times and exact numbers.

Everything that enters a run's progress (the values of `set` and `vars`, the items of a loop) goes through `kept` at once, not
only when it is stored. So a run that goes on after a restart sees exactly what one that was never interrupted sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from conwp_bot.errors import RenderFailed

_DEEPEST = 64
_ATOMS = (bool, int, Decimal, timedelta, type(None))


def kept(value: Any, zone: ZoneInfo, field: str, *, depth: int = 0) -> Any:
    """Return `value` in the form that survives the store unchanged; idempotent.

    Tuples become lists, aware datetimes are put in `zone` (the flow's), a time of day loses its zone. Raises RenderFailed,
    naming `field`, for what cannot be kept.
    """
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RenderFailed(f"{field}: {value} is not a number that can be kept")
        return value
    if isinstance(value, datetime):
        # By way of UTC: an instant that a zone has twice, or not at all, gets the one spelling that the store gives back.
        return value if value.tzinfo is None else value.astimezone(UTC).astimezone(zone)
    if isinstance(value, date):
        return value
    if isinstance(value, time):
        return value.replace(tzinfo=None)
    if depth >= _DEEPEST:
        raise RenderFailed(f"{field}: the value is nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {_key(name, field): kept(item, zone, field, depth=depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [kept(item, zone, field, depth=depth + 1) for item in value]
    raise RenderFailed(
        f"{field}: a {type(value).__name__} cannot be kept; use text, numbers, dates, lists and mappings"
    )


def _key(name: Any, field: str) -> str:
    if isinstance(name, str):
        return name if type(name) is str else str.__str__(name)
    raise RenderFailed(f"{field}: the key {name!r} is not a text")
