"""What a column's text becomes: a phone number, a number, a date, yes or no."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from conwp_bot.errors import InvalidRecipient
from conwp_bot.flows.flow import ColumnType
from conwp_bot.model.recipient import parse_recipient

Convert = Callable[[Any], Any]
"""Reads one value of a row; raises ValueError with the reason, which names the value."""

MOST_DIGITS = 40

_NUMBER = re.compile(r"([+-]?)(\d[\d.,']*)")
_GROUPS = re.compile(r"\d{1,3}(?:([.,'])\d{3})(?:\1\d{3})*")
_DAY_FIRST = re.compile(r"(\d{1,2})[./](\d{1,2})[./](\d{4})")
_YEAR_FIRST = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
# What spreadsheets put behind a date that has no time of day.
_MIDNIGHT = re.compile(r"[ T]00:00(?::00(?:\.0+)?)?Z?$")
_SCIENTIFIC = re.compile(r"\d[.,]?\d*[eE]\+?\d+")
_YES = frozenset({"evet", "yes", "true", "1", "doğru"})
_NO = frozenset({"hayir", "no", "false", "0", "yanliş"})
_SPACES = re.compile(r"[\s\u00a0\u202f]+")


def converters(columns: Mapping[str, ColumnType], locale: str, region: str) -> dict[str, Convert]:
    """Return how each declared column is read.

    `region` is whose phone numbers need no country code; `locale` says what `1.234` means: a thousand and more in `tr_TR`, one and a bit
    in `en_US`. An empty value fits no column but text.
    """
    readers: dict[ColumnType, Convert] = {
        ColumnType.TEXT: read_text,
        ColumnType.PHONE: partial(_phone, region=region),
        ColumnType.NUMBER: partial(read_number, decimal_mark=decimal_mark(locale)),
        ColumnType.DATE: read_date,
        ColumnType.BOOL: read_bool,
    }
    return {name: readers[ColumnType(kind)] for name, kind in columns.items()}


def decimal_mark(locale: str) -> str:
    """Return `.` or `,`: what stands before the decimals in this locale; `,` for one that is not known."""
    from babel.core import UnknownLocaleError
    from babel.numbers import get_decimal_symbol

    try:
        return "." if get_decimal_symbol(locale.replace("-", "_")) == "." else ","
    except (UnknownLocaleError, ValueError):
        return ","


def read_text(value: Any) -> str:
    """Take a text as it is; a number of a JSON file as it is written."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{_shown(value)} is no text")


def _phone(value: Any, region: str) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _filled(value, "phone number")
    if _SCIENTIFIC.fullmatch(text):
        raise ValueError(
            f"{_shown(text)} is what a spreadsheet made of a number; format the column as text before saving"
        )
    try:
        # With the plus it is read the same everywhere; bare digits could be somebody else's number at home.
        return f"+{parse_recipient(text, region)}"
    except InvalidRecipient as error:
        raise ValueError(str(error)) from None


def read_number(value: Any, decimal_mark: str = ",") -> Decimal:
    """Read `1.234,56`, `1,234.56`, `1234.56`, `-5`; a single mark before three digits is read as `decimal_mark` says."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    text = _SPACES.sub("", _filled(value, "number"))
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > MOST_DIGITS:
        raise ValueError(f"{_shown(value)} is no number")
    sign, digits = match.groups()
    marks = [mark for mark in ".," if mark in digits]
    if len(marks) == 2:
        mark = max(marks, key=digits.rindex)
        whole, _, decimals = digits.rpartition(mark)
    elif len(marks) == 1 and digits.count(marks[0]) == 1 and not _is_group(digits, marks[0], decimal_mark):
        whole, _, decimals = digits.partition(marks[0])
    else:
        whole, decimals = digits, ""
    if not whole.isdecimal():
        if not _GROUPS.fullmatch(whole):
            raise ValueError(f"{_shown(value)} is no number")
        whole = re.sub(r"[.,']", "", whole)
    try:
        return Decimal(f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}")
    except InvalidOperation:
        raise ValueError(f"{_shown(value)} is no number") from None


def _is_group(digits: str, mark: str, decimal_mark: str) -> bool:
    """Say whether the one mark separates thousands: `1.234` may, `0.123`, `1.23` and `1234.567` cannot."""
    return mark != decimal_mark and not digits.startswith("0") and _GROUPS.fullmatch(digits) is not None


def read_date(value: Any) -> date:
    """Read `31.12.2026`, `31/12/2026` or `2026-12-31`; the day comes before the month."""
    text = _MIDNIGHT.sub("", _filled(value, "date"))
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day = match.groups()
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year = match.groups()
    else:
        raise ValueError(f"{_shown(value)} is no date; write 31.12.2026 or 2026-12-31")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise ValueError(f"{_shown(value)} is a day that does not exist") from None


def read_bool(value: Any) -> bool:
    """Read evet/hayır, yes/no, true/false, doğru/yanlış, 1/0, in any case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    # In Turkish the capital of i is İ and that of ı is I: all four become one letter, or HAYIR would not be hayır.
    text = _filled(value, "yes or no").replace("İ", "i").lower().replace("ı", "i")
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise ValueError(f"{_shown(value)} is neither yes nor no")


def _filled(value: Any, what: str) -> str:
    """Return the text without blanks around it; an empty one would be sent as if somebody had meant it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"it is empty, a {what} is expected")
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no {what}")
    return value.strip()


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
