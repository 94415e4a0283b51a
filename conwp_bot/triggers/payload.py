"""What a webhook's body says, as data of bounded size and depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

MOST_NESTED = 32
MOST_VALUES = 50_000
MOST_FIELDS = 1000
MOST_DIGITS = 40


class NotAcceptable(Exception):
    """The body cannot be used: `status` 400 or 415, and what is wrong with it for its sender."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_payload(content_type: str | None, body: bytes) -> Any:
    """Return the payload: JSON's data, a form's fields, or a text; None for an empty body.

    Without a content type it is JSON. Raises NotAcceptable.
    """
    if not body:
        return None
    kind, charset = _media_type(content_type or "application/json")
    if kind == "application/x-www-form-urlencoded":
        return _form(body)
    if kind == "text/plain":
        return _text(body, charset)
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return read_json(_text(body, charset))
    raise NotAcceptable(415, "send application/json, application/x-www-form-urlencoded or text/plain")


def read_json(text: str) -> Any:
    """Read strict JSON: no NaN, no name twice, no lone surrogates, no numbers beyond use, bounded depth and size."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise NotAcceptable(400, f"the JSON is nested deeper than {MOST_NESTED}") from None
    except json.JSONDecodeError as error:
        raise NotAcceptable(400, f"no JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}") from None
    except _Unwanted as error:
        raise NotAcceptable(400, str(error)) from None
    # Upper bounds that cost next to nothing; only a text beyond them is walked.
    opened = text.count("{") + text.count("[")
    if opened > MOST_NESTED or opened + text.count(",") >= MOST_VALUES:
        _check_size(value)
    if "\\u" in text:
        _check_text(value)
    return value


class _Unwanted(ValueError):
    """Valid for Python's reader, but not for us."""


def _check_size(value: Any) -> None:
    depth, count, level = 0, 0, [value]
    while level:
        depth += 1
        count += len(level)
        if count > MOST_VALUES:
            raise NotAcceptable(400, f"the JSON has more than {MOST_VALUES} values")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if depth > MOST_NESTED and any(isinstance(item, dict | list) for item in level):
            raise NotAcceptable(400, f"the JSON is nested deeper than {MOST_NESTED}")
        level = below


def _check_text(value: Any) -> None:
    # A lone surrogate is the only thing that JSON can spell and UTF-8 cannot.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotAcceptable(400, "the JSON holds half of a surrogate pair (\\ud800 to \\udfff)") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unwanted(f"the JSON has the name {twice[:60]!r} twice in one object")
    return found


def _constant(name: str) -> Any:
    raise _Unwanted(f"{name} is no JSON")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _Unwanted(f"the JSON has a number of more than {MOST_DIGITS} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Unwanted("the JSON has a number that is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_real)


def _media_type(content_type: str) -> tuple[str, str]:
    kind, _, rest = content_type.partition(";")
    charset = "utf-8"
    for parameter in rest.split(";") if rest else ():
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return kind.strip().lower(), charset


def _text(body: bytes, charset: str) -> str:
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise NotAcceptable(415, "send UTF-8")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotAcceptable(400, f"the body is no UTF-8 (byte {error.start})") from None


def _form(body: bytes) -> Mapping[str, Any]:
    """Return a form's fields; one that comes several times is a list."""
    if body.lstrip()[:1] in (b"{", b"["):
        raise NotAcceptable(415, "this looks like JSON: send it with content-type: application/json")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:  # also what is no ASCII, and what is no UTF-8 once unquoted
        raise NotAcceptable(400, f"no form of UTF-8 text with at most {MOST_FIELDS} fields") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields
