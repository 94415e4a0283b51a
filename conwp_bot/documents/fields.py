"""Field types that forms share: each reads one authored value, or says in plain words what was expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from conwp_bot.documents.form import Wrong, kind_of
from conwp_bot.model.budget import Limit
from conwp_bot.model.duration import format_duration, parse_duration
from conwp_bot.model.problem import near_miss

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, eq=False)
class Read:
    """Makes a type's field read by `reader`, and describes what may be written by `schema`."""

    reader: Callable[[Any], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.reader)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True, eq=False)
class ShortForm:
    """Lets a type be written shorter.

    `widen` makes the whole of what may be a short form; `shorter` gives the short form's schema from the whole's.
    """

    widen: Callable[[Any], Any]
    shorter: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.widen, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler(schema)
        return {"anyOf": [self.shorter(whole), whole]}


ONE_OR_MANY = ShortForm(lambda value: value if isinstance(value, list) else [value], lambda whole: whole["items"])
"""A list that may be written as its only item."""


def read_text(value: Any) -> str:
    """Read a text; a number is one too, because a number here always stands as it was typed (see `scalars`)."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool):
        raise Wrong(f"expected text, not {str(value).lower()}", f'quote it: "{str(value).lower()}"')
    if value is None:
        raise Wrong("expected text, but nothing is written here")
    hint = 'a value that begins with {{ needs quotes: "{{ … }}"' if isinstance(value, dict) else None
    raise Wrong(f"expected text, not {kind_of(value)}", hint)


def read_filled_text(value: Any) -> str:
    """Read a text that is not empty."""
    text = read_text(value)
    if not text.strip():
        raise Wrong("expected text, but it is empty")
    return text


Line = Annotated[str, Read(read_text, {"type": ["string", "number"]})]
FilledLine = Annotated[str, Read(read_filled_text, {"type": ["string", "number"], "minLength": 1})]


def _read_duration(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise Wrong(f"expected a length of time, not {kind_of(value)}", "e.g. 30s, 5m, 6h, 7d, 1h30m")
    try:
        return parse_duration(value)
    except ValueError:
        raise Wrong(f'expected a length of time, not "{value[:40]}"', "e.g. 30s, 5m, 6h, 7d, 1h30m") from None


_DURATION_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\s*(\d{1,9}(\.\d{1,3})?\s*(ms|s|m|h|d|w|MS|S|M|H|D|W)\s*)+$",
    "examples": ["30s", "5m", "6h"],
}
Duration = Annotated[timedelta, Read(_read_duration, _DURATION_SCHEMA)]


def duration(*, least: timedelta, most: timedelta) -> Read:
    """Read a length of time within bounds (both included)."""

    def reader(value: Any) -> timedelta:
        length = _read_duration(value)
        if length < least:
            raise Wrong(f"must be {format_duration(least)} or longer")
        if length > most:
            raise Wrong(f"must be {format_duration(most)} or shorter")
        return length

    return Read(reader, _DURATION_SCHEMA)


def _read_limit(value: Any) -> Limit:
    if not isinstance(value, str):
        raise Wrong(f"expected a limit, not {kind_of(value)}", "a count and a span, e.g. 1000/hour, 20/minute, 5/10s")
    try:
        return Limit.parse(value)
    except ValueError as error:
        if "/" in value and "no limit" not in str(error) and "length of time" not in str(error):
            raise Wrong(str(error)) from None
        raise Wrong(
            f'expected a limit, not "{value[:40]}"', "a count and a span, e.g. 1000/hour, 20/minute, 5/10s"
        ) from None


LimitText = Annotated[
    Limit,
    Read(
        _read_limit,
        {"type": "string", "pattern": r"^\s*\d{1,9}\s*/\s*\S.*$", "examples": ["1000/hour", "20/minute", "5/10s"]},
    ),
]


def choice(options: type[E], planned: frozenset[str] = frozenset()) -> Read:
    """Read one word of an enumeration; `planned` are words that it will have."""
    words = {each.value: each for each in options}

    def reader(value: Any) -> E:
        try:
            return words[value]
        except (KeyError, TypeError):
            if isinstance(value, str) and value in planned:
                raise Wrong(f"{value} is not supported yet", f"one of: {', '.join(words)}") from None
            raise not_among(value, words) from None

    return Read(reader, {"type": "string", "enum": list(words)})


def word(*options: str) -> Read:
    """Read one of a few words."""

    def reader(value: Any) -> str:
        if isinstance(value, str) and value in options:
            return value
        raise not_among(value, options)

    return Read(reader, {"type": "string", "enum": list(options)})


def not_among(value: Any, options: Any) -> Wrong:
    """Say which words would do."""
    listed = ", ".join(options)
    if isinstance(value, str):
        return Wrong(f'unknown word "{value[:40]}"', near_miss(value, options) or f"one of: {listed}")
    return Wrong(f"expected one of: {listed}; not {kind_of(value)}")


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Wrong(f'unknown time zone "{name[:60]}"', _zone_hint(name)) from None


def _zone_hint(name: str) -> str:
    names = available_timezones()
    same = next((each for each in sorted(names) if each.lower() == name.lower()), None)
    if same:
        return f'did you mean "{same}"?'
    by_city = [
        each
        for each in sorted(names, key=lambda each: (not each.startswith("Europe/"), each))
        if each.rsplit("/", 1)[-1].lower() == name.lower()
    ]
    if by_city:
        return f'did you mean "{by_city[0]}"?'
    return near_miss(name, names) or 'write it as Continent/City, e.g. "Europe/Istanbul"'


def _read_zone(value: Any) -> ZoneInfo:
    if not isinstance(value, str):
        raise Wrong(f"expected a time zone, not {kind_of(value)}", "e.g. Europe/Istanbul")
    return _zone(value[:100])


Zone = Annotated[
    ZoneInfo, Read(_read_zone, {"type": "string", "examples": ["Europe/Istanbul", "Europe/Berlin", "UTC"]})
]


@lru_cache(maxsize=256)
def _locale(name: str) -> str:
    from babel import Locale, UnknownLocaleError  # 20 ms: only who names a locale pays for it
    from babel.localedata import locale_identifiers

    try:
        return str(Locale.parse(name.replace("-", "_")))
    except (UnknownLocaleError, ValueError, TypeError):
        raise Wrong(
            f'unknown locale "{name[:40]}"', near_miss(name, locale_identifiers()) or "e.g. tr_TR, en_GB"
        ) from None


def _read_locale(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong(f"expected a locale, not {kind_of(value)}", "e.g. tr_TR, en_GB")
    return _locale(value[:100])


LocaleName = Annotated[str, Read(_read_locale, {"type": "string", "examples": ["tr_TR", "en_GB", "de_DE"]})]
