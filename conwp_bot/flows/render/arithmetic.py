"""Operators: bounded, exact with money, right across a change of clocks, and refusing what only looks like it would work."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from conwp_bot.flows.render.bounds import MAX_BITS, MAX_RANGE, Exhausted, Refusal
from conwp_bot.flows.render.kinds import NUMBERS, describe, is_scalar
from conwp_bot.flows.render.missing import require
from conwp_bot.flows.render.plain import to_text, weigh
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.text import fits

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
_SIMPLE = frozenset({str, int, bool, float, type(None)})
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "in": "in", "notin": "not in"}


def compute(context: Rendering, sign: str, left: Any, right: Any) -> Any:
    """Return `left sign right`; raises Refusal for operands that do not go together and results beyond the bounds."""
    require(left, right)
    context.charge(1)
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        return _numbers(sign, left, right)
    if isinstance(left, str) or isinstance(right, str):
        return _texts(context, sign, left, right)
    if isinstance(left, (list, tuple)) or isinstance(right, (list, tuple)):
        return _lists(context, sign, left, right)
    if isinstance(left, (date, timedelta)) or isinstance(right, timedelta):
        return _times(sign, left, right)
    raise _mismatch(sign, left, right)


def concatenate(context: Rendering, parts: tuple[Any, ...]) -> str:
    """Return `a ~ b ~ …`."""
    texts = [to_text(context, part) for part in parts]
    length = sum(map(len, texts))
    fits(length)
    context.charge(1 + (length >> 8))
    return "".join(texts)


def compare(context: Rendering, sign: str, left: Any, right: Any) -> Any:
    """Return the verdict of `left sign right`; raises Refusal where Python would quietly say no to kinds that never can be equal."""
    if sign == "in":
        return contains(context, right, left)
    if sign == "notin":
        return not contains(context, right, left)
    decide = _COMPARISONS[sign]
    if type(left) not in _SIMPLE or type(right) not in _SIMPLE:
        require(left, right)
        left, right = _comparable(context, sign, left, right)
    elif type(left) is str:
        context.charge(len(left) >> 9)
    try:
        return decide(left, right)
    except TypeError:
        raise _mismatch(_SIGNS[sign], left, right) from None


def contains(context: Rendering, whole: Any, part: Any) -> bool:
    """Return `part in whole`."""
    require(whole, part)
    if isinstance(whole, str):
        if not isinstance(part, str):
            raise Refusal(f"only a text can be in a text, not {describe(part)}")
        context.charge(1 + ((len(whole) + len(part)) >> 8))
        return part in whole
    if isinstance(whole, Mapping):
        return is_scalar(part) and part in whole
    if isinstance(whole, (list, tuple)):
        context.charge(1 + (len(whole) >> 3))
        if not is_scalar(part):
            weigh(context, whole)
            weigh(context, part)
        return part in whole
    if isinstance(whole, range):
        return isinstance(part, int) and part in whole
    raise Refusal(f"`in` takes a list, a mapping or a text, not {describe(whole)}")


def add_exactly(left: Any, right: Any) -> Any:
    """Return the sum of two numbers as `+` gives it."""
    return _numbers("+", left, right)


def negate(sign: str, value: Any) -> Any:
    """Return `-value` or `+value`."""
    require(value)
    if isinstance(value, (*NUMBERS, timedelta)):
        return -value if sign == "-" else +value
    raise Refusal(f"{sign} goes before a number, not before {describe(value)}")


def _numbers(sign: str, left: Any, right: Any) -> Any:
    if isinstance(left, float) != isinstance(right, float) and (
        isinstance(left, Decimal) or isinstance(right, Decimal)
    ):
        # 100.50 * 1.2 in a flow means these very digits.
        left, right = (Decimal(repr(n)) if isinstance(n, float) else n for n in (left, right))
    elif sign in "+-*" and (isinstance(left, float) or isinstance(right, float)) and _bounded_floats(left, right):
        # Digits as they are written, so that 0.1 + 0.2 is 0.3 in a message.
        return float(_OPERATORS[sign](Decimal(repr(left)), Decimal(repr(right))))
    elif isinstance(left, int) and isinstance(right, int):
        if sign == "/" and right and left % right == 0:
            return left // right  # 10 / 2 is 5, not 5.0
        if sign == "**" and right > 0 and left.bit_length() * right > MAX_BITS:
            raise Exhausted("the number is too large")
    elif sign == "**" and abs(right) > MAX_BITS:
        raise Exhausted("the number is too large")
    if right == 0 and sign in ("/", "//", "%"):
        raise Refusal("division by zero")
    try:
        result = _OPERATORS[sign](left, right)
    except ZeroDivisionError:  # 0 ** -1
        raise Refusal("division by zero") from None
    if isinstance(result, complex):
        raise Refusal("there is no such number")
    if isinstance(result, int) and result.bit_length() > MAX_BITS:
        raise Exhausted("the number is too large")
    return result


def _bounded_floats(left: Any, right: Any) -> bool:
    return all(not isinstance(n, float) or isfinite(n) for n in (left, right)) and all(
        not isinstance(n, int) or n.bit_length() <= 64 for n in (left, right)
    )


def _texts(context: Rendering, sign: str, left: Any, right: Any) -> str:
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        fits(len(left) + len(right))
        context.charge((len(left) + len(right)) >> 8)
        return left + right
    if sign == "*":
        text, times = (left, right) if isinstance(left, str) else (right, left)
        if isinstance(text, str) and isinstance(times, int):
            fits(len(text) * max(times, 0))
            context.charge((len(text) * max(times, 0)) >> 8)
            return text * times
    if sign == "%" and isinstance(left, str):
        raise Refusal("% does not format texts here; join texts with ~, or write numbers with | number")
    raise _mismatch(sign, left, right)


def _lists(context: Rendering, sign: str, left: Any, right: Any) -> Any:
    if sign == "+" and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        length = len(left) + len(right)
        result: Any = lambda: [*left, *right]  # noqa: E731 - built only when it fits
    elif sign == "*" and isinstance(left, (list, tuple)) and isinstance(right, int):
        length = len(left) * max(right, 0)
        result = lambda: left * right  # noqa: E731
    else:
        raise _mismatch(sign, left, right)
    if length > 10 * MAX_RANGE:
        raise Exhausted("the list is too long")
    context.charge(length >> 3)
    return result()


def _times(sign: str, left: Any, right: Any) -> Any:
    if isinstance(left, datetime) and isinstance(right, timedelta) and sign in ("+", "-"):
        return _moved(left, right if sign == "+" else -right)
    if isinstance(left, timedelta) and isinstance(right, datetime) and sign == "+":
        return _moved(right, left)
    if isinstance(left, datetime) and isinstance(right, datetime) and sign == "-":
        if (left.tzinfo is None) != (right.tzinfo is None):
            raise Refusal("a time without a zone cannot be compared with one that has a zone; read it with datetime(…)")
        return left.astimezone(UTC) - right.astimezone(UTC) if left.tzinfo else left - right
    if isinstance(left, datetime) != isinstance(right, datetime) and isinstance(left, date) and isinstance(right, date):
        raise Refusal("a date and a date with a time do not go together; write .date() after the latter")
    if isinstance(left, date) and isinstance(right, timedelta) and sign in ("+", "-") and right % timedelta(days=1):
        raise Refusal("a date moves by whole days; write days(…), or begin with now()")
    if isinstance(left, (date, timedelta)) and isinstance(right, (date, timedelta, int, float, Decimal)):
        if isinstance(right, Decimal):
            right = float(right)
        try:
            return _OPERATORS[sign](left, right)
        except TypeError:
            raise _mismatch(sign, left, right) from None
        except ZeroDivisionError:
            raise Refusal("division by zero") from None
    if isinstance(left, NUMBERS) and isinstance(right, timedelta) and sign == "*":
        return right * (float(left) if isinstance(left, Decimal) else left)
    raise _mismatch(sign, left, right)


def _moved(moment: datetime, length: timedelta) -> datetime:
    # Whole days keep the wall clock (tomorrow at nine is at nine), anything else is time that passes, also when clocks change.
    if moment.tzinfo is None or not length % timedelta(days=1):
        return moment + length
    return (moment.astimezone(UTC) + length).astimezone(moment.tzinfo)


def _comparable(context: Rendering, sign: str, left: Any, right: Any) -> tuple[Any, Any]:
    if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
        if isinstance(left, float) and isinstance(right, Decimal):
            return Decimal(repr(left)), right
        if isinstance(left, Decimal) and isinstance(right, float):
            return left, Decimal(repr(right))
    elif isinstance(left, date) and isinstance(right, date):
        if isinstance(left, datetime) != isinstance(right, datetime):
            raise Refusal(
                f"a date is never {_SIGNS[sign]} a date with a time; write .date() after the latter, or compare with today()"
            )
        if isinstance(left, datetime) and isinstance(right, datetime):
            if (left.tzinfo is None) != (right.tzinfo is None):
                raise Refusal(
                    "a time without a zone cannot be compared with one that has a zone; read it with datetime(…)"
                )
            if left.tzinfo is not None:
                return left.astimezone(UTC), right.astimezone(UTC)
    elif (isinstance(left, date) and isinstance(right, str)) or (isinstance(left, str) and isinstance(right, date)):
        raise Refusal(f"a date is never {_SIGNS[sign]} a text; read the date from the text with date(…)")
    elif isinstance(left, (Mapping, list, tuple)) and isinstance(right, (Mapping, list, tuple)):
        weigh(context, left)
        weigh(context, right)
    return left, right


def _mismatch(sign: str, left: Any, right: Any) -> Refusal:
    sentence = f"{sign} does not go with {describe(left)} and {describe(right)}"
    kinds = [isinstance(n, str) for n in (left, right)]
    if any(kinds) and any(isinstance(n, NUMBERS) for n in (left, right)):
        hint = (
            "to join them write ~, to compute read the number with number(…)"
            if sign == "+"
            else "read the number with number(…)"
        )
        return Refusal(f"{sentence}; {hint}")
    if left is None or right is None:
        return Refusal(f"{sentence}; ask `is none` first, or write `| default(…)`")
    return Refusal(sentence)
