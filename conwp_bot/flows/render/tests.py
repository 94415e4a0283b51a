"""Tests: what may follow `is`, and what `select` and `reject` take by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from conwp_bot.flows.render.arithmetic import compare, compute, contains
from conwp_bot.flows.render.kinds import NUMBERS
from conwp_bot.flows.render.missing import is_missing
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.text import need_text


def _comparing(sign: str) -> Callable[..., bool]:
    return lambda context, value, other, /: bool(compare(context, sign, value, other))


def _is_number(_context: Rendering, value: Any, /) -> bool:
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def _remainder(context: Rendering, value: Any, by: Any, /) -> Any:
    return compute(context, "%", value, by)


TESTS: dict[str, Callable[..., bool]] = {
    "defined": lambda _c, value, /: not is_missing(value),
    "undefined": lambda _c, value, /: is_missing(value),
    "none": lambda _c, value, /: value is None,
    "boolean": lambda _c, value, /: isinstance(value, bool),
    "true": lambda _c, value, /: value is True,
    "false": lambda _c, value, /: value is False,
    "number": _is_number,
    "integer": lambda _c, value, /: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda _c, value, /: isinstance(value, float),
    "string": lambda _c, value, /: isinstance(value, str),
    "date": lambda _c, value, /: isinstance(value, date),
    "mapping": lambda _c, value, /: isinstance(value, Mapping),
    "sequence": lambda _c, value, /: isinstance(value, (str, list, tuple, range)),
    "iterable": lambda _c, value, /: isinstance(value, (str, list, tuple, range, Mapping)),
    "even": lambda context, value, /: _remainder(context, value, 2) == 0,
    "odd": lambda context, value, /: _remainder(context, value, 2) == 1,
    "divisibleby": lambda context, value, num, /: _remainder(context, value, num) == 0,
    "in": lambda context, value, seq, /: contains(context, seq, value),
    "lower": lambda _c, value, /: need_text(value, "lower").islower(),
    "upper": lambda _c, value, /: need_text(value, "upper").isupper(),
    **{
        name: _comparing(sign)
        for sign, names in {
            "eq": ("eq", "==", "equalto"),
            "ne": ("ne", "!="),
            "lt": ("lt", "<", "lessthan"),
            "lteq": ("le", "<="),
            "gt": ("gt", ">", "greaterthan"),
            "gteq": ("ge", ">="),
        }.items()
        for name in names
    },
}
