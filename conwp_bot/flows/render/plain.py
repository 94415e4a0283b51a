"""From values to text, and to plain data that can be stored: both bounded, whatever a value refers to (also itself, many times)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from jinja2.runtime import Undefined

from conwp_bot.flows.render.bounds import MAX_TEXT, MAX_VALUE, NESTING, Exhausted, Refusal
from conwp_bot.flows.render.callee import Callee
from conwp_bot.flows.render.kinds import describe
from conwp_bot.flows.render.missing import Missing, MissingUsed
from conwp_bot.flows.render.rendering import Rendering

_DIGITS = 60


def to_text(context: Rendering, value: Any) -> str:
    """Write a value as it stands in a message.

    True and false are `true` and `false`, lists and mappings are JSON. None is refused: "Merhaba None" must never be sent.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if value is None:
        raise Refusal('the value is none, which is no text; write `| default("…")`, or ask `is not none` first')
    if isinstance(value, Undefined):
        if isinstance(value, Missing):
            raise MissingUsed(value)
        return ""  # `x if y` without an else
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, (Mapping, list, tuple, range)):
        return to_json_text(context, value)
    raise Refusal(f"{describe(value)} cannot be written as text")


def decimal_text(value: Decimal) -> str:
    """Write an exact number without an exponent; one too large for that keeps it."""
    if value.is_finite() and abs(value.adjusted()) <= _DIGITS and len(value.as_tuple().digits) <= 2 * _DIGITS:
        return format(value, "f")
    return str(value)


def to_json_text(context: Rendering, value: Any) -> str:
    """Write a value as JSON on one line; dates and times as ISO texts, exact numbers as they are written."""
    plain = _Plain(context, MAX_TEXT).of(value, 0)
    return json.dumps(plain, ensure_ascii=False, default=lambda left: _json_scalar(context, left))


def _json_scalar(context: Rendering, value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 10**15 else float(value)
    return to_text(context, value)


def to_value(context: Rendering, value: Any) -> Any:
    """Return a value that an expression gave as plain data: tuples and ranges become lists, and an absent value is refused.

    A single value of a type that is not ours (`event.rows`) passes as it is; within lists and mappings it does not.
    """
    if value is None or isinstance(value, (str, int, float, Decimal, date, time, timedelta)):
        return value
    if isinstance(value, Undefined):
        if isinstance(value, Missing):
            raise MissingUsed(value)
        return None  # `x if y` without an else
    if isinstance(value, (Mapping, list, tuple, range)):
        return _Plain(context, MAX_VALUE).of(value, 0)
    if isinstance(value, Callee):
        raise Refusal("the expression gives a function; call it: write () after its name")
    return value


def weigh(context: Rendering, value: Any) -> None:
    """Charge for a value that is about to be compared: its parts, as often as a comparison may meet them."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            context.charge(len(part) >> 9)
        elif isinstance(part, Mapping):
            context.charge(1 + (len(part) >> 4))
            stack.extend(part.values())
        elif isinstance(part, (list, tuple)):
            context.charge(1 + (len(part) >> 4))
            stack.extend(part)


class _Plain:
    """Copies a value into lists and dicts, counting characters and parts."""

    __slots__ = ("_context", "_room")

    def __init__(self, context: Rendering, room: int) -> None:
        self._context = context
        self._room = room

    def of(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            self._take(len(value))
            return value
        if value is None or isinstance(value, (int, float, Decimal, date, time, timedelta)):
            return value
        if depth > NESTING:
            raise Exhausted(f"the value is nested deeper than {NESTING} levels")
        if isinstance(value, Mapping):
            self._take(2 * len(value))
            self._context.charge(1 + (len(value) >> 3))
            return {self._key(key): self.of(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple, range)):
            self._take(2 * len(value))
            self._context.charge(1 + (len(value) >> 3))
            return [self.of(part, depth + 1) for part in value]
        if isinstance(value, Undefined):
            if isinstance(value, Missing):
                raise MissingUsed(value)
            return None
        raise Refusal(f"{describe(value)} cannot stand in a list or mapping")

    def _key(self, key: Any) -> str:
        text = key if isinstance(key, str) else to_text(self._context, key)
        self._take(len(text))
        return text

    def _take(self, length: int) -> None:
        self._room -= length
        if self._room < 0:
            raise Exhausted("the value is too large")
