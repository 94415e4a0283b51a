"""The names that every template has: functions of the run's instant, and readers of texts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from conwp_bot.flows.render.bounds import MAX_RANGE, Exhausted, Refusal
from conwp_bot.flows.render.callee import Callee
from conwp_bot.flows.render.kinds import NUMBERS, describe
from conwp_bot.flows.render.moments import to_date, to_datetime
from conwp_bot.flows.render.numbers import to_decimal
from conwp_bot.flows.render.rendering import Rendering


def _now(context: Rendering) -> datetime:
    return context.settings.now.astimezone(context.settings.timezone)


def _today(context: Rendering) -> date:
    return _now(context).date()


def _length(unit: str) -> Callable[..., timedelta]:
    def run(_context: Rendering, n: Any) -> timedelta:
        if not isinstance(n, NUMBERS) or isinstance(n, bool):
            raise Refusal(f"{unit}() takes a number, not {describe(n)}")
        try:
            return timedelta(**{unit: float(n) if isinstance(n, Decimal) else n})
        except (OverflowError, ValueError):
            raise Refusal(f"{unit}(): the length of time is too large") from None

    return run


def _date(context: Rendering, text: Any) -> date:
    return to_date(text, context.settings.timezone, "date()")


def _datetime(context: Rendering, text: Any) -> datetime:
    return to_datetime(text, context.settings.timezone, "datetime()")


def _number(context: Rendering, text: Any) -> Decimal:
    return to_decimal(text, context.settings.locale, "number()")


def _range(_context: Rendering, *bounds: Any) -> range:
    if not 1 <= len(bounds) <= 3 or not all(isinstance(bound, int) for bound in bounds):
        raise Refusal("range() takes one to three whole numbers")
    if len(bounds) == 3 and bounds[2] == 0:
        raise Refusal("range() cannot go on by 0")
    if any(abs(bound) > 10**12 for bound in bounds) or len(range(*bounds)) > MAX_RANGE:
        raise Exhausted(f"range() gives {MAX_RANGE:,} numbers at most")
    return range(*bounds)


_RUN: dict[str, Callable[..., Any]] = {
    "now": _now,
    "today": _today,
    "minutes": _length("minutes"),
    "hours": _length("hours"),
    "days": _length("days"),
    "weeks": _length("weeks"),
    "date": _date,
    "datetime": _datetime,
    "number": _number,
    "range": _range,
}

FUNCTIONS: dict[str, Callee] = {name: Callee(name, run) for name, run in _RUN.items()}

GLOBAL_NAMES = frozenset(FUNCTIONS)
"""The names that every template may use beside those of its scope."""
