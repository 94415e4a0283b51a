"""Filters that write dates, money, numbers and phones as people of the flow's locale do. Source: CLDR by Babel, libphonenumber."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from conwp_bot.errors import InvalidRecipient
from conwp_bot.flows.render.bounds import Refusal, shorten
from conwp_bot.flows.render.moments import to_date, to_datetime, to_time
from conwp_bot.flows.render.numbers import to_decimal
from conwp_bot.flows.render.plain import to_text
from conwp_bot.flows.render.rendering import Rendering
from conwp_bot.model.problem import near_miss
from conwp_bot.model.recipient import parse_recipient

if TYPE_CHECKING:
    from babel import Locale

# Babel is imported where it is used: 20 ms and 7 MB that a start without dates and money does not pay.

_LENGTHS = ("short", "medium", "long", "full")
_DATE_LETTERS = frozenset("GyuQqMLwWdEec")
_TIME_LETTERS = frozenset("abBhHKkmsSAzZOvVXx")
_MOST_DECIMALS = 10
_COST = 8  # 10 to 60 us each


@lru_cache(maxsize=64)
def find_locale(name: str) -> Locale:
    """Return Babel's locale (`tr_TR`, `tr-TR`, `tr`); refuses an unknown one."""
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise Refusal(f"the locale {shorten(name, 20)!r} is not known; locales look like tr_TR") from None


@lru_cache(maxsize=512)
def check_pattern(pattern: Any, what: str) -> None:
    """Refuse a pattern that CLDR does not know, above all those of other languages (`%d.%m.%Y`, `dd.mm.YYYY`)."""
    if not isinstance(pattern, str):
        raise Refusal(f"{what} takes a pattern such as {_EXAMPLES[what]}, or one of {', '.join(_LENGTHS)}")
    if pattern in _LENGTHS:
        return
    if not pattern or len(pattern) > 64:
        raise Refusal(f"{what}: a pattern has 1 to 64 characters")
    if "%" in pattern:
        raise Refusal(f"{what}: patterns are written with letters, not with %; e.g. {_EXAMPLES[what]}")
    if pattern.count("'") % 2:
        raise Refusal(f"{what}: the pattern's single quotes do not close")
    allowed = {"date": _DATE_LETTERS, "time": _TIME_LETTERS, "datetime": _DATE_LETTERS | _TIME_LETTERS}[what]
    for run in re.finditer(r"([A-Za-z])\1*", re.sub(r"'[^']*'", " ", pattern)):
        letter = run[1]
        if letter in allowed and len(run[0]) <= 6:
            continue
        known = "; ".join(filter(None, [_CONFUSIONS.get(letter, ""), f"e.g. {_EXAMPLES[what]}"]))
        raise Refusal(
            f'{what}: "{shorten(run[0], 10)}" has no meaning in this pattern; {known}; words stand in single quotes'
        )


_EXAMPLES = {"date": '"d MMMM yyyy"', "time": '"HH:mm"', "datetime": '"d MMMM HH:mm"'}
_CONFUSIONS = {
    "Y": "years are y (yyyy)",
    "D": "days of the month are d (dd)",
    "m": "months are M (MM), and m are minutes, which a date does not have: there is | datetime",
    "T": "put it in single quotes: 'T'",
}


def format_date(context: Rendering, value: Any, /, pattern: Any = "medium") -> str:
    """Write the day: a CLDR pattern (`"d MMMM"`) or short, medium, long, full; takes dates, times (in the flow's zone) and texts."""
    context.charge(_COST)
    check_pattern(pattern, "date")
    settings = context.settings
    return _date_text(to_date(value, settings.timezone, "date"), pattern, settings.locale)


@lru_cache(maxsize=2048)
def _date_text(day: date, pattern: str, locale: str) -> str:
    from babel import dates

    return dates.format_date(day, pattern, find_locale(locale))


def format_time(context: Rendering, value: Any, /, pattern: Any = "short") -> str:
    """Write the time of day in the flow's zone: a CLDR pattern (`"HH:mm"`) or short, medium."""
    context.charge(_COST)
    from babel import dates

    check_pattern(pattern, "time")
    settings = context.settings
    if (isinstance(value, str) and ":" in value and len(value.strip()) <= 8) or not isinstance(value, (str, date)):
        return dates.format_time(to_time(value, settings.timezone, "time"), pattern, None, find_locale(settings.locale))
    if isinstance(value, date):
        to_time(value, settings.timezone, "time")  # refuses a date
    moment = to_datetime(value, settings.timezone, "time")
    return dates.format_time(moment, pattern, settings.timezone, find_locale(settings.locale))


def format_datetime(context: Rendering, value: Any, /, pattern: Any = "medium") -> str:
    """Write day and time in the flow's zone: a CLDR pattern (`"d MMMM HH:mm"`) or short, medium, long, full."""
    context.charge(_COST)
    from babel import dates

    check_pattern(pattern, "datetime")
    settings = context.settings
    moment = to_datetime(value, settings.timezone, "datetime")
    return dates.format_datetime(moment, pattern, settings.timezone, find_locale(settings.locale))


@lru_cache(maxsize=128)
def check_currency(code: Any) -> None:
    """Refuse what is no ISO 4217 code."""
    from babel.core import get_global

    if isinstance(code, str) and code in get_global("all_currencies"):
        return
    if not isinstance(code, str):
        raise Refusal('money takes a currency\'s code, such as "TRY"')
    near = (
        'did you mean "TRY"?'
        if code.upper() in ("TL", "YTL")
        else near_miss(code.upper()[:10], ("TRY", "EUR", "USD", "GBP"))
    )
    raise Refusal(
        f'money: "{shorten(code, 20)}" is no currency\'s code' + (f"; {near}" if near else '; codes look like "TRY"')
    )


def money(context: Rendering, value: Any, /, currency: Any) -> str:
    """Write an amount in a currency, rounded half up to its smallest coin: `1234.5 | money("TRY")` is `₺1.234,50` in Turkish."""
    context.charge(_COST)
    check_currency(currency)
    locale = context.settings.locale
    pattern, places = _money_pattern(locale, currency)
    amount = _half_up(to_decimal(value, locale, "money"), places)
    return str(pattern.apply(amount, find_locale(locale)))


@lru_cache(maxsize=256)
def _money_pattern(locale: str, currency: str) -> tuple[Any, int]:
    """Return a locale's pattern with the currency's sign in it, and the digits of its smallest coin.

    Babel's own `format_currency` looks up the currency's name and plural at each call and then does not use them: a fifth of the
    time that a file of invoices took.
    """
    from babel import numbers

    found = find_locale(locale)
    places = numbers.get_currency_precision(currency)
    sign = numbers.get_currency_symbol(currency, found)
    pattern = copy(found.currency_formats["standard"])
    pattern.prefix = tuple(part.replace("¤", sign) for part in pattern.prefix)
    pattern.suffix = tuple(part.replace("¤", sign) for part in pattern.suffix)
    pattern.frac_prec = (places, places)
    return pattern, places


def number(context: Rendering, value: Any, /, decimals: Any = None) -> str:
    """Write a number with the locale's marks: as it is (ten decimals at most), or rounded half up to so many decimals."""
    context.charge(_COST)
    locale = context.settings.locale
    amount = to_decimal(value, locale, "number")
    places = _decimals(decimals, "number")
    if places is not None:
        return _apply_pattern("#,##0" + ("." + "0" * places if places else ""), _half_up(amount, places), locale)
    return _apply_pattern("#,##0." + "#" * _MOST_DECIMALS, _half_up(amount, _MOST_DECIMALS), locale)


def percent(context: Rendering, value: Any, /, decimals: Any = 0) -> str:
    """Write a fraction as a percentage: `0.18 | percent` is `%18` in Turkish."""
    context.charge(_COST)
    from babel import numbers

    locale = context.settings.locale
    places = _decimals(decimals, "percent") or 0
    amount = _half_up(to_decimal(value, locale, "percent"), places + 2)
    # The locale's own pattern (where the sign stands), with the decimals asked for.
    pattern = (
        find_locale(locale)
        .percent_formats[None]
        .pattern.replace("#,##0", "#,##0" + ("." + "0" * places if places else ""))
    )
    return numbers.format_percent(amount, pattern, find_locale(locale))


def _decimals(decimals: Any, what: str) -> int | None:
    if decimals is None or (
        isinstance(decimals, int) and not isinstance(decimals, bool) and 0 <= decimals <= _MOST_DECIMALS
    ):
        return decimals
    raise Refusal(f"{what} takes a number of decimals from 0 to {_MOST_DECIMALS}")


def _half_up(amount: Decimal, places: int) -> Decimal:
    if amount.adjusted() + places > 26:
        return amount  # more digits than exact rounding keeps; nobody writes such amounts
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def _apply_pattern(pattern: str, amount: Decimal, locale: str) -> str:
    return str(_number_pattern(pattern).apply(amount, find_locale(locale)))


@lru_cache(maxsize=64)
def _number_pattern(pattern: str) -> Any:
    from babel.numbers import parse_pattern

    return parse_pattern(pattern)


def phone(context: Rendering, value: Any, /, style: Any = None) -> str:
    """Write a phone number for reading: as at home (`0555 123 45 67`), or with its country when it is another one's.

    `style` is national, international, e164 (`+90555…`) or digits, as the API takes it. Refuses what is no valid number.
    """
    context.charge(_COST)
    if style not in (None, "national", "international", "e164", "digits"):
        raise Refusal('phone takes "national", "international", "e164" or "digits"')
    text = to_text(context, value)
    try:
        return _phone_text(text if len(text) <= 60 else text[:61], context.settings.region, style)
    except InvalidRecipient as error:
        raise Refusal(f"phone: {error}") from None


@lru_cache(maxsize=2048)
def _phone_text(text: str, region: str, style: str | None) -> str:
    import phonenumbers
    from phonenumbers import PhoneNumberFormat as Format

    digits = parse_recipient(text, region)
    if style == "digits":
        return str(digits)
    parsed = phonenumbers.parse(f"+{digits}", None)
    if style is None:
        style = "national" if phonenumbers.region_code_for_number(parsed) == region else "international"
    formats = {"national": Format.NATIONAL, "international": Format.INTERNATIONAL, "e164": Format.E164}
    return phonenumbers.format_number(parsed, formats[style])


FILTERS: dict[str, Callable[..., Any]] = {
    "date": format_date,
    "time": format_time,
    "datetime": format_datetime,
    "money": money,
    "number": number,
    "percent": percent,
    "phone": phone,
}

CHECKS: dict[str, Callable[[Any], None]] = {
    "date": lambda pattern: check_pattern(pattern, "date"),
    "time": lambda pattern: check_pattern(pattern, "time"),
    "datetime": lambda pattern: check_pattern(pattern, "datetime"),
    "money": check_currency,
}
"""Checks of a filter's first argument that can be made before anything runs, when it is written out."""
