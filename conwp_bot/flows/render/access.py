"""What a dot, a subscript and a call reach: an allow-list by type, so that Python's objects stay out of sight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from jinja2.runtime import LoopContext

from conwp_bot.flows.render.bounds import Refusal, shorten
from conwp_bot.flows.render.callee import Callee
from conwp_bot.flows.render.kinds import describe, is_scalar
from conwp_bot.flows.render.missing import Missing, is_missing, require
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.flows.render.text import bounded_join, bounded_replace
from conwp_bot.model.problem import near_miss

_ABSENT: Any = object()


def attribute_of(value: Any, name: str, path: str | None) -> Any:
    """Return `value.name`: a mapping's key before its method, a plain attribute of a date, a listed method; or what is Missing."""
    if isinstance(value, Mapping):
        found = value.get(name, _ABSENT)
        if found is not _ABSENT:
            return found
    elif is_missing(value):
        return value  # the first absent link is the one to name
    elif value is None:
        return Missing(obj=None, name=name, path=path)
    for types, attributes, methods in _MEMBERS:
        if isinstance(value, types):
            if name in attributes:
                return attributes[name](value)
            if name in methods:
                return Callee(name, methods[name], value)
            break
    if isinstance(value, Mapping) or name.startswith("_"):
        return Missing(obj=value, name=name, path=path)
    return Missing(_no_member(value, name, path), obj=value, name=name, path=path)


def item_of(value: Any, key: Any, path: str | None) -> Any:
    """Return `value[key]`: a key of a mapping, an element of a list, a character of a text; or what is Missing."""
    if is_missing(value):
        return value
    require(key)
    if value is None:
        return Missing(obj=None, name=key, path=path)
    if not is_scalar(key):
        raise Refusal(f"{describe(key)} is no key")
    if isinstance(value, Mapping):
        found = value.get(key, _ABSENT)
        return Missing(obj=value, name=key, path=path) if found is _ABSENT else found
    if isinstance(value, (list, tuple, range, str)):
        if isinstance(key, int):
            try:
                return value[key]
            except IndexError:
                return Missing(obj=value, name=key, path=path)
        return Missing(obj=value, name=key, path=path)
    raise Refusal(f"{path or 'this'} is {describe(value)}; only mappings, lists and texts have elements")


def slice_of(context: Rendering, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return a part of a list or text."""
    require(value, start, stop, step)
    if not isinstance(value, (list, tuple, str, range)):
        raise Refusal(f"only a list or a text can be cut with [a:b], not {describe(value)}")
    for bound in (start, stop, step):
        if bound is not None and not isinstance(bound, int):
            raise Refusal(f"[a:b] takes whole numbers, not {describe(bound)}")
    if step == 0:
        raise Refusal("[a:b:c] cannot go on by 0")
    part = value[start:stop:step]
    context.charge(len(part) >> (9 if isinstance(value, str) else 4))
    return part


def call(context: Rendering, callee: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function or method of ours."""
    require(callee)
    if type(callee) is not Callee:
        raise Refusal(f"{describe(callee)} cannot be called; write it without ()")
    context.charge(1)
    require(*args, *kwargs.values())
    try:
        if callee.owner is None:
            return callee.run(context, *args, **kwargs)
        return callee.run(context, callee.owner, *args, **kwargs)
    except (TypeError, ValueError, AttributeError) as error:
        raise Refusal(f"{callee.name}(): {shorten(str(error), 120)}") from None


def _no_member(value: Any, name: str, path: str | None) -> str:
    where = path or "this"
    refused = _REFUSED_METHODS.get(name) if isinstance(value, str) else None
    if refused:
        return f'a text has no "{name}" here; {refused}'
    known: list[str] = []
    for types, attributes, methods in _MEMBERS:
        if isinstance(value, types):
            known = [*attributes, *methods]
            break
    near = near_miss(name, known) if len(name) < 60 else None
    return f'{where} is {describe(value)} and has no "{shorten(name)}"' + (f"; {near}" if near else "")


_REFUSED_METHODS = {
    "format": "join texts with ~, or write numbers with | number",
    "format_map": "join texts with ~",
    "center": "messages are not set in columns",
    "ljust": "messages are not set in columns",
    "rjust": "messages are not set in columns",
    "zfill": "messages are not set in columns",
    "encode": "texts stay texts",
    "translate": "write .replace(old, new)",
    "expandtabs": 'write .replace("\\t", " ")',
}


def _text_method(method: Callable[..., Any]) -> Callable[..., Any]:
    def run(context: Rendering, owner: str, *args: Any, **kwargs: Any) -> Any:
        context.charge(len(owner) >> 7)
        result = method(owner, *args, **kwargs)
        if isinstance(result, list):
            context.charge(len(result) >> 3)
        return result

    return run


def _method(method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _context, owner, *args, **kwargs: method(owner, *args, **kwargs)


def _list_method(method: Callable[..., Any]) -> Callable[..., Any]:
    def run(context: Rendering, owner: Any, wanted: Any) -> Any:
        if not is_scalar(wanted):
            raise Refusal("only a text, number or date can be looked for in a list")
        context.charge(len(owner) >> 3)
        return method(owner, wanted)

    return run


def _entries(take: Callable[[Mapping[Any, Any]], Any]) -> Callable[..., Any]:
    def run(context: Rendering, owner: Mapping[Any, Any]) -> list[Any]:
        context.charge(len(owner) >> 3)
        return list(take(owner))

    return run


def _get(_context: Rendering, owner: Mapping[Any, Any], key: Any, default: Any = None) -> Any:
    found = item_of(owner, key, None)
    return default if is_missing(found) else found


def _iso(_context: Rendering, owner: date | time) -> str:
    return owner.isoformat()


def _moved_date(_context: Rendering, owner: date, **fields: int) -> date:
    if set(fields) - {"year", "month", "day", "hour", "minute", "second", "microsecond"}:
        raise Refusal("replace() takes year, month, day, hour, minute, second")
    return owner.replace(**fields)


_Members = tuple[Any, dict[str, Callable[[Any], Any]], dict[str, Callable[..., Any]]]

_TEXT = [
    "upper",
    "lower",
    "title",
    "capitalize",
    "swapcase",
    "casefold",
    "strip",
    "lstrip",
    "rstrip",
    "removeprefix",
    "removesuffix",
    "split",
    "rsplit",
    "splitlines",
    "partition",
    "rpartition",
    "startswith",
    "endswith",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "isdigit",
    "isdecimal",
    "isnumeric",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
    "islower",
    "istitle",
]
_DATE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "year": lambda d: d.year,
    "month": lambda d: d.month,
    "day": lambda d: d.day,
}
_TIME_FIELDS: dict[str, Callable[[Any], Any]] = {
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second,
    "microsecond": lambda t: t.microsecond,
}
_DATE_METHODS: dict[str, Callable[..., Any]] = {
    "weekday": _method(date.weekday),
    "isoweekday": _method(date.isoweekday),
    "isoformat": _iso,
    "replace": _moved_date,
}
_LOOP_FIELDS = ["index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"]


def _loop_field(name: str) -> Callable[[Any], Any]:
    return lambda loop: getattr(loop, name)  # a name from the tuple above, never from a template


# By type, attributes and methods; the first type that fits decides (datetime before date).
_MEMBERS: tuple[_Members, ...] = (
    (
        str,
        {},
        {name: _text_method(getattr(str, name)) for name in _TEXT}
        | {
            "join": lambda context, owner, parts: bounded_join(context, parts, owner),
            "replace": lambda context, owner, old, new, count=-1: bounded_replace(context, owner, old, new, count),
        },
    ),
    (
        Mapping,
        {},
        {
            "items": _entries(lambda owner: owner.items()),
            "keys": _entries(lambda owner: owner.keys()),
            "values": _entries(lambda owner: owner.values()),
            "get": _get,
        },
    ),
    (
        (list, tuple),
        {},
        {"index": _list_method(lambda o, w: o.index(w)), "count": _list_method(lambda o, w: o.count(w))},
    ),
    (
        datetime,
        _DATE_FIELDS | _TIME_FIELDS,
        _DATE_METHODS
        | {
            "date": _method(datetime.date),
            "time": _method(datetime.time),
            "timestamp": _method(datetime.timestamp),
        },
    ),
    (date, _DATE_FIELDS, _DATE_METHODS),
    (time, _TIME_FIELDS, {"isoformat": _iso}),
    (
        timedelta,
        {"days": lambda d: d.days, "seconds": lambda d: d.seconds},
        {"total_seconds": _method(timedelta.total_seconds)},
    ),
    ((int, float, Decimal), {}, {}),
    (
        LoopContext,
        {name: _loop_field(name) for name in _LOOP_FIELDS},
        {"cycle": _method(LoopContext.cycle), "changed": _method(LoopContext.changed)},
    ),
)
