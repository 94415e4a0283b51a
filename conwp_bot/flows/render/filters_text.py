"""Filters for texts and single values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote

from conwp_bot.flows.render.arithmetic import negate
from conwp_bot.flows.render.bounds import Refusal
from conwp_bot.flows.render.kinds import NUMBERS, describe
from conwp_bot.flows.render.missing import is_missing, require
from conwp_bot.flows.render.numbers import to_decimal
from conwp_bot.flows.render.plain import to_json_text, to_text
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.text import bounded_replace, fits, need_text
from conwp_bot.flows.render.turkish import plain_title, tr_capitalize, tr_lower, tr_title, tr_upper

_ROUNDING = {"common": ROUND_HALF_UP, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}


def _cased(name: str, change: Callable[[str], str]) -> Callable[..., str]:
    def run(context: Rendering, value: Any, /) -> str:
        text = to_text(context, value)
        context.charge(len(text) >> 6)
        return change(text)

    run.__name__ = name
    return run


def default(_context: Rendering, value: Any, /, default_value: Any = "", boolean: Any = False) -> Any:
    """Return the other value for what is missing or none; with `true` as second argument also for what is empty, 0 or false."""
    if is_missing(value) or value is None or (boolean and not value):
        require(default_value)
        return default_value
    return value


def length(_context: Rendering, value: Any, /) -> int:
    """Count the letters of a text, the elements of a list, the keys of a mapping."""
    if isinstance(value, (str, list, tuple, range, Mapping)):
        return len(value)
    raise Refusal(f"{describe(value)} has no length")


def string(context: Rendering, value: Any, /) -> str:
    """Write a value as it stands in a message."""
    return to_text(context, value)


def replace(context: Rendering, value: Any, /, old: Any, new: Any, count: Any = -1) -> str:
    """Replace a text wherever it occurs, or so many times."""
    return bounded_replace(context, to_text(context, value), old, new, count)


def trim(context: Rendering, value: Any, /, chars: Any = None) -> str:
    """Take white space (or these characters) off both ends."""
    text = to_text(context, value)
    context.charge(len(text) >> 9)
    return text.strip(None if chars is None else need_text(chars, "trim"))


def truncate(
    context: Rendering, value: Any, /, length: Any = 255, killwords: Any = False, end: Any = "…", leeway: Any = 0
) -> str:
    """Shorten a text to at most `length` characters with `…`, at the end of a word unless `killwords`."""
    text, tail = to_text(context, value), need_text(end, "truncate")
    if not isinstance(length, int) or not isinstance(leeway, int) or length < len(tail):
        raise Refusal("truncate takes a whole number of characters, large enough for its end")
    if len(text) <= length + leeway:
        return text
    cut = text[: length - len(tail)]
    in_word = not (text[len(cut)].isspace() or cut[-1:].isspace())
    if not killwords and in_word and len(cut.split(None, 1)) > 1:
        cut = cut.rsplit(None, 1)[0]
    return cut.rstrip() + tail


def wordcount(context: Rendering, value: Any, /) -> int:
    """Count the words of a text."""
    text = to_text(context, value)
    context.charge(len(text) >> 6)
    return sum(1 for _ in re.finditer(r"\w+", text))


def urlencode(context: Rendering, value: Any, /) -> str:
    """Write a text so that it can stand within a link; of a mapping, `a=1&b=2`."""
    if isinstance(value, Mapping):
        pairs = [(to_text(context, key), to_text(context, part)) for key, part in value.items()]
        size = sum(len(key) + len(part) + 2 for key, part in pairs)
        fits(size)
        context.charge(size >> 5)
        return "&".join(f"{quote(key, safe='')}={quote(part, safe='')}" for key, part in pairs)
    text = to_text(context, value)
    fits(9 * len(text) if not text.isascii() else 3 * len(text))
    context.charge(len(text) >> 5)
    return quote(text.encode("utf-8", "replace"), safe="/")


def tojson(context: Rendering, value: Any, /) -> str:
    """Write a value as JSON on one line."""
    return to_json_text(context, value)


def to_int(context: Rendering, value: Any, /, default: Any = None) -> Any:
    """Read a whole number, cutting off what is behind the decimal mark; `int(0)` gives 0 for what is no number."""
    return _number(context, value, default, "int", int)


def to_float(context: Rendering, value: Any, /, default: Any = None) -> Any:
    """Read a number; `float(0)` gives 0 for what is no number."""
    return _number(context, value, default, "float", float)


def _number(context: Rendering, value: Any, default: Any, what: str, change: Callable[[Decimal], Any]) -> Any:
    try:
        return change(to_decimal(int(value) if isinstance(value, bool) else value, _locale(context, value), what))
    except Refusal:
        if default is None:
            raise
        return default


def _locale(context: Rendering, value: Any) -> str:
    return context.settings.locale if isinstance(value, str) else ""


def absolute(_context: Rendering, value: Any, /) -> Any:
    """Drop the sign of a number."""
    if not isinstance(value, NUMBERS):
        raise Refusal(f"abs takes a number, not {describe(value)}")
    return negate("-", value) if value < 0 else value


def rounded(context: Rendering, value: Any, /, precision: Any = 0, method: Any = "common") -> Any:
    """Round half away from zero (`common`), up (`ceil`) or down (`floor`); to a whole number unless a precision is given."""
    if method not in _ROUNDING:
        raise Refusal('round takes "common", "ceil" or "floor"')
    if not isinstance(precision, int) or not -20 <= precision <= 20:
        raise Refusal("round takes a number of decimals between -20 and 20")
    number = to_decimal(value, _locale(context, value), "round")
    if -precision < number.adjusted() - 26:
        return value  # more digits than a rounding could keep
    result = number.quantize(Decimal(1).scaleb(-precision), rounding=_ROUNDING[method])
    if precision <= 0:
        return int(result)
    return float(result) if isinstance(value, float) else result


FILTERS: dict[str, Callable[..., Any]] = {
    "upper": _cased("upper", str.upper),
    "lower": _cased("lower", str.lower),
    "title": _cased("title", plain_title),
    "capitalize": _cased("capitalize", str.capitalize),
    "tr_upper": _cased("tr_upper", tr_upper),
    "tr_lower": _cased("tr_lower", tr_lower),
    "tr_title": _cased("tr_title", tr_title),
    "tr_capitalize": _cased("tr_capitalize", tr_capitalize),
    "default": default,
    "d": default,
    "length": length,
    "count": length,
    "string": string,
    "replace": replace,
    "trim": trim,
    "truncate": truncate,
    "wordcount": wordcount,
    "urlencode": urlencode,
    "tojson": tojson,
    "int": to_int,
    "float": to_float,
    "abs": absolute,
    "round": rounded,
}
