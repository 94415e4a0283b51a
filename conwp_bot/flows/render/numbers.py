"""Numbers as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from conwp_bot.flows.render.bounds import Refusal, shorten
from conwp_bot.flows.render.kinds import describe

_LONGEST = 60
_PLAIN = re.compile(r"[+-]?\d+")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,2}")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")
_SHAPE = re.compile(r"[+-]?(?:\d[\d.,]*|[.,]\d+)")
_FILLING = re.compile(r"[\s\u00a0\u202f'’_]+")
_COMMA_LANGUAGES = frozenset(
    [
        "az",
        "bg",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "fi",
        "fr",
        "hr",
        "hu",
        "id",
        "it",
        "lt",
        "lv",
        "nb",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sl",
        "sq",
        "sr",
        "sv",
        "tr",
        "uk",
        "vi",
    ]
)


def parse_number(text: str, locale: str) -> Decimal:
    """Read a number exactly; raises ValueError for anything else.

    The last of two different marks is the decimal one: `1.234,56` and `1,234.56` are the same in every locale. One kind of mark
    before groups of three digits is the thousands mark when it occurs twice, or when it is the locale's (`1.234` is 1234 in
    Turkish, 1.234 in English); otherwise it is the decimal mark. Currency signs and letters at either end are ignored.
    """
    bare = _FILLING.sub("", text.strip())
    bare = re.sub(r"^(?:[₺$€£%]|[A-Z]{2,3})|(?:[₺$€£%]|[A-Z]{2,3})$", "", bare) if len(bare) <= _LONGEST else bare
    if len(bare) > _LONGEST or not (_SHAPE.fullmatch(bare) or _SCIENTIFIC.fullmatch(bare)):
        raise ValueError(f"{shorten(text, 30)!r} is no number")
    if _PLAIN.fullmatch(bare) or _SCIENTIFIC.fullmatch(bare):
        return Decimal(bare)
    dots, commas = bare.count("."), bare.count(",")
    if dots and commas:
        decimal_mark = "." if bare.rindex(".") > bare.rindex(",") else ","
        if bare.count(decimal_mark) > 1:
            raise ValueError(f"{shorten(text, 30)!r} is no number")
        thousands = "," if decimal_mark == "." else "."
        whole = bare.split(decimal_mark)[0].lstrip("+-")
        if not _GROUPED.fullmatch(whole):
            raise ValueError(f"{shorten(text, 30)!r} is no number: its digits are not grouped in threes")
        return Decimal(bare.replace(thousands, "").replace(decimal_mark, "."))
    mark = "." if dots else ","
    grouped = bool(_GROUPED.fullmatch(bare.lstrip("+-")))
    usual = "." if locale.replace("-", "_").split("_")[0] in _COMMA_LANGUAGES else ","
    if grouped and (bare.count(mark) > 1 or mark == usual):
        return Decimal(bare.replace(mark, ""))
    if bare.count(mark) > 1:
        raise ValueError(f"{shorten(text, 30)!r} is no number")
    return Decimal(bare.replace(mark, "."))


def to_decimal(value: Any, locale: str, what: str) -> Decimal:
    """Return a number exactly: a float as it is written, a text as `parse_number` reads it; refuses anything else."""
    if isinstance(value, bool):
        raise Refusal(f"{what} takes a number, not true or false")
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str):
        try:
            number = parse_number(value, locale)
        except ValueError as error:
            raise Refusal(f"{what}: {error}") from None
    else:
        raise Refusal(f"{what} takes a number, not {describe(value)}")
    if not number.is_finite() or (number and abs(number.adjusted()) > _LONGEST):
        raise Refusal(f"{what}: the number is too large or none at all")
    return number
