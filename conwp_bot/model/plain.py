"""Values that templates know, as JSON and back: dates, times, exact numbers and lengths keep their type in the store."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any


def to_json(value: Any) -> str:
    """Write a value made of JSON's types, dates, times, Decimals and timedeltas; raises TypeError for anything else.

    The text can always be stored: half characters (lone surrogates), which JSON can carry and databases cannot, are escaped.
    """
    text = _dumps(value)
    if '{"$' in text:  # dates, or a mapping of the value's own that looks like one of ours
        text = _dumps(_escaped(value))
    return text


def from_json(text: str) -> Any:
    """Read what `to_json` wrote."""
    if '{"$' not in text:  # nearly always: no hook, three times as fast
        return json.loads(text)
    return json.loads(text, object_hook=_decode)


def _dumps(value: Any) -> str:
    text = json.dumps(value, default=_encode, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, default=_encode, separators=(",", ":"))
    return text


def _escaped(value: Any) -> Any:
    """Return the value with another `$` before the name in each mapping that would be read as a date or the like."""
    if isinstance(value, dict):
        copy = {name: _escaped(item) for name, item in value.items()}
        if len(copy) == 1:
            [(name, item)] = copy.items()
            if isinstance(name, str) and name.startswith("$"):
                return {"$" + name: item}
        return copy
    if isinstance(value, (list, tuple)):
        return [_escaped(item) for item in value]
    return value


def _encode(value: Any) -> Any:
    # datetime is a date, so it comes first.
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, time):
        return {"$time": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, timedelta):
        return {"$seconds": value.total_seconds()}
    raise TypeError(f"a {type(value).__name__} cannot be stored")


def _decode(value: dict[str, Any]) -> Any:
    if len(value) != 1:
        return value
    [(kind, text)] = value.items()
    try:
        match kind:
            case "$datetime":
                return datetime.fromisoformat(text)
            case "$date":
                return date.fromisoformat(text)
            case "$time":
                return time.fromisoformat(text)
            case "$decimal":
                return Decimal(text)
            case "$seconds":
                return timedelta(seconds=text)
            case _ if kind.startswith("$$"):
                return {kind[1:]: text}
            case _:
                return value
    except (TypeError, ValueError, ArithmeticError):
        # Not written by us: then it is what it says, a mapping.
        return value
