"""Field types of the flow language: templates, expressions, names, schedules."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any

from conwp_bot.documents.fields import Read, not_among, read_filled_text, read_text
from conwp_bot.documents.form import Wrong, kind_of
from conwp_bot.flows.cron_text import NoSchedule, read_cron

_HOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRIGGER_ID = re.compile(r"\w[\w.-]{0,99}")
_METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET")
_WILDCARDS = re.compile(r"[*?\[]")

FilledTemplate = Annotated[str, Read(read_filled_text, {"type": ["string", "number"], "minLength": 1})]
"""A text field: a Jinja template."""


def _read_reason(value: Any) -> str | None:
    return None if value is None else read_text(value)


Reason = Annotated[str | None, Read(_read_reason, {"type": ["string", "number", "null"]})]
"""A template that may be left empty."""


def _read_expression(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # `when: true` is an expression too
    if isinstance(value, dict):
        raise Wrong(
            f"expected an expression, not {kind_of(value)}",
            "an expression is written without braces, e.g. event.payload.total > 100",
        )
    if isinstance(value, list):
        raise Wrong(
            f"expected an expression, not {kind_of(value)}", "give the list a name with `vars`, and use vars.NAME here"
        )
    text = read_text(value)
    if not text.strip():
        raise Wrong("expected an expression, but it is empty")
    return text


Expression = Annotated[str, Read(_read_expression, {"type": ["string", "number", "boolean"], "minLength": 1})]
"""One Jinja expression, without braces."""


def _read_name(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if not text.isidentifier() or len(text) > 100:
        shown = f'"{text[:40]}"' if isinstance(value, str) else kind_of(value)
        raise Wrong(f"{shown} is no name", "letters, digits and _, no blank and no -, not beginning with a digit")
    return text


Name = Annotated[str, Read(_read_name, {"type": "string", "pattern": r"^[^\W\d]\w*$"})]
"""A name that templates can use: `steps.NAME`, `vars.NAME`."""


def _read_trigger_id(value: Any) -> str:
    text = read_text(value)
    if not _TRIGGER_ID.fullmatch(text):
        raise Wrong(f'"{text[:40]}" is no id', "letters, digits, _ . and -; at most 100")
    return text


TriggerId = Annotated[str, Read(_read_trigger_id, {"type": ["string", "number"]})]


def _read_hook_name(value: Any) -> str:
    text = read_text(value)
    if not _HOOK_NAME.fullmatch(text):
        hint = (
            "write only the name: it is served at /hooks/NAME"
            if "/" in text
            else "letters a-z, digits, . _ and -; at most 100"
        )
        raise Wrong(f'"{text[:60]}" is no name for a webhook', hint)
    return text


HookName = Annotated[
    str, Read(_read_hook_name, {"type": ["string", "number"], "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"})
]


def _read_schedule(value: Any) -> str:
    text = read_text(value)
    try:
        return read_cron(text)
    except NoSchedule as error:
        raise Wrong(str(error), error.hint) from None


Schedule = Annotated[str, Read(_read_schedule, {"type": "string"})]


def _read_pattern(value: Any) -> str:
    text = read_filled_text(value)
    folder, _, name = text.rpartition("/")
    if not name:
        raise Wrong("expected a file or a pattern, but this is a folder", f"e.g. {text}*.csv")
    if ".." in text.split("/"):
        raise Wrong("a path must not go up with ..", "write it from the config's folder, or in full")
    if _WILDCARDS.search(folder):
        raise Wrong("only the name of a file may hold * ? [, not its folder")
    return text


FilePattern = Annotated[str, Read(_read_pattern, {"type": "string", "minLength": 1})]


def _read_encoding(value: Any) -> str:
    text = read_filled_text(value)
    try:
        info = codecs.lookup(text)
        "".encode(info.name)  # refuses codecs that are no text encodings, such as hex
    except (LookupError, ValueError):
        raise Wrong(f'unknown encoding "{text[:40]}"', "e.g. utf-8, cp1254 (Windows, Turkish)") from None
    return info.name


Encoding = Annotated[str, Read(_read_encoding, {"type": "string"})]

_DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";"}


def _read_delimiter(value: Any) -> str:
    text = _DELIMITERS.get(value, value) if isinstance(value, str) else ""
    if len(text) != 1 or text.isalnum() or text in '\r\n"':
        raise Wrong("expected the one character between columns", 'e.g. ";" or "," or tab')
    return text


Delimiter = Annotated[str, Read(_read_delimiter, {"type": "string", "examples": [";", ",", "tab"]})]


def _read_methods(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise Wrong("at least one is needed", "leave the key out for POST only")
    for each in listed:
        if each not in _METHODS:
            raise not_among(each, _METHODS)
    return tuple(dict.fromkeys(listed))


_METHOD_SCHEMA = {"enum": list(_METHODS)}
Methods = Annotated[
    tuple[str, ...],
    Read(_read_methods, {"anyOf": [_METHOD_SCHEMA, {"type": "array", "items": _METHOD_SCHEMA, "minItems": 1}]}),
]
