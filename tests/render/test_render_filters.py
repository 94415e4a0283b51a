"""Filters and tests, in Turkish and in English."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel.numbers import format_currency, get_currency_precision
from hypothesis import given
from hypothesis import strategies as st
from render_kit import ENGLISH, TURKISH, text, value

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render import RenderContext, compile_text, make_scope, parse_number
from conwp_bot.flows.render.turkish import tr_sort_key


@pytest.mark.parametrize(
    ("source", "turkish", "english"),
    [
        ("{{ invoice.due | date }}", "23 Kas 2026", "Nov 23, 2026"),
        ("{{ invoice.due | date('d MMMM') }}", "23 Kasım", "23 November"),
        ("{{ invoice.due | date('full') }}", "23 Kasım 2026 Pazartesi", "Monday, November 23, 2026"),
        ("{{ invoice.due | date('short') }}", "23.11.2026", "11/23/26"),
        ("{{ invoice.due | date(\"d MMMM'da'\") }}", "23 Kasımda", "23 Novemberda"),
        ("{{ '2026-11-23' | date('long') }}", "23 Kasım 2026", "November 23, 2026"),
        ("{{ '23.11.2026' | date('long') }}", "23 Kasım 2026", "November 23, 2026"),
        ("{{ '2026-11-22T02:00:00Z' | date('long') }}", "22 Kasım 2026", "November 21, 2026"),
        ("{{ now() | date('EEEE') }}", "Pazar", "Sunday"),
        ("{{ now() | time }}", "09:30", "1:30\u202fAM"),
        ("{{ now() | time('HH:mm:ss') }}", "09:30:00", "01:30:00"),
        ("{{ '2026-11-22T06:30:00Z' | time('H.mm') }}", "9.30", "1.30"),
        ("{{ '14:05' | time }}", "14:05", "2:05\u202fPM"),
        ("{{ now() | datetime }}", "22 Kas 2026 09:30:00", "Nov 22, 2026, 1:30:00\u202fAM"),
        ("{{ event.payload.at | datetime('d MMMM HH:mm') }}", "22 Kasım 09:30", "22 November 01:30"),
        ("{{ 1234.5 | money('TRY') }}", "₺1.234,50", "TRY1,234.50"),
        ("{{ invoice.total | money('EUR') }}", "€1.234,50", "€1,234.50"),
        ("{{ 0.125 | money('USD') }}", "$0,13", "$0.13"),
        ("{{ -5 | money('EUR') }}", "-€5,00", "-€5.00"),
        ("{{ '1.234,56' | money('EUR') }}", "€1.234,56", "€1,234.56"),
        ("{{ 1000 | money('JPY') }}", "JPY1.000", "¥1,000"),
        ("{{ 1234567.891 | number }}", "1.234.567,891", "1,234,567.891"),
        ("{{ 1234.5 | number(2) }}", "1.234,50", "1,234.50"),
        ("{{ 2.5 | number(0) }}", "3", "3"),
        ("{{ 0.185 | percent(1) }}", "%18,5", "18.5%"),
        ("{{ 0.18 | percent }}", "%18", "18%"),
        ("{{ '+905551234567' | phone }}", "0555 123 45 67", "+90 555 123 45 67"),
        ("{{ '+12025550123' | phone }}", "+1 202-555-0123", "(202) 555-0123"),
        ("{{ '+90 555 123 45 67' | phone('digits') }}", "905551234567", "905551234567"),
        ("{{ '+905551234567' | phone('e164') }}", "+905551234567", "+905551234567"),
        ("{{ ['zil', 'çay', 'Cem', 'dal'] | sort | join(' ') }}", "Cem çay dal zil", "Cem dal zil çay"),
    ],
)
def test_the_flows_locale_decides(source: str, turkish: str, english: str) -> None:
    assert text(source, TURKISH) == turkish.replace(
        "JPY1.000", text("{{ 1000 | money('JPY') }}") if "JPY" in turkish else ""
    )
    assert text(source, ENGLISH) == english


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 'ısı izni' | tr_upper }}", "ISI İZNİ"),
        ("{{ 'ISI İZNİ' | tr_lower }}", "ısı izni"),
        ("{{ 'I\u0307ZM\u0130R' | tr_lower }}", "izmir"),
        ("{{ \"ISPARTA'DAN İZMİR'E\" | tr_title }}", "Isparta'dan İzmir'e"),
        ("{{ 'ILIK ilik' | tr_capitalize }}", "Ilık ilik"),
        ("{{ 'istanbul ılık' | tr_title }}", "İstanbul Ilık"),
        ("{{ 'PAID' | lower }}{{ 'info' | upper }}", "paidINFO"),
        ("{{ \"it's o'clock\" | title }}", "It's O'clock"),
        ("{{ 'hELLO' | capitalize }}", "Hello"),
        ("{{ '  a ' | trim }}{{ 'xxaxx' | trim('x') }}", "aa"),
        ("{{ 'a-b-c' | replace('-', '+') }}{{ 'aaa' | replace('a', 'b', 2) }}", "a+b+cbba"),
        (
            "{{ 'one two three' | truncate(9) }}|{{ 'one two three' | truncate(9, true) }}|{{ 'short' | truncate(9) }}",
            "one two…|one two…|short",
        ),
        ("{{ 'one two three' | truncate(10, true, '...') }}", "one two..."),
        ("{{ 'bir iki üç' | wordcount }}", "3"),
        ("{{ 'a b&ç/d' | urlencode }} {{ {'q': 'a b', 'n': 1} | urlencode }}", "a%20b%26%C3%A7/d q=a%20b&n=1"),
        ("{{ {'a': [1, 'ç', none, 1.5, today()]} | tojson }}", '{"a": [1, "ç", null, 1.5, "2026-11-22"]}'),
        ("{{ 'abc' | length }}{{ [1] | count }}{{ {} | length }}", "310"),
        ("{{ 5 | string ~ 5 }}", "55"),
        ("{{ '12,7' | int }} {{ 'x' | int(0) }} {{ '1.234,5' | float }} {{ true | int }}", "12 0 1234.5 1"),
        ("{{ 5 | abs }} {{ (-5) | abs }} {{ (-1.5) | abs }}", "5 5 1.5"),
        (
            "{{ 2.5 | round }} {{ 1.005 | round(2) }} {{ 1.21 | round(1, 'ceil') }} {{ 1.29 | round(1, 'floor') }} {{ 155 | round(-1) }}",
            "3 1.01 1.3 1.2 160",
        ),
    ],
)
def test_text_filters(source: str, expected: str) -> None:
    assert text(source) == expected


PEOPLE = [
    {"name": "Zeynep", "city": "İzmir", "age": 30, "on": True},
    {"name": "ali", "city": "Ankara", "age": 20, "on": False},
    {"name": "Çağla", "city": "İzmir", "age": 25},
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("people | map(attribute='name') | sort", ["ali", "Çağla", "Zeynep"]),
        ("people | sort(attribute='age', reverse=true) | map(attribute='age')", [30, 25, 20]),
        ("people | map(attribute='on', default=false)", [True, False, False]),
        ("people | selectattr('on') | map(attribute='name')", ["Zeynep"]),
        ("people | selectattr('on', 'defined') | length", 2),
        ("people | rejectattr('age', 'lt', 25) | map(attribute='age')", [30, 25]),
        ("people | selectattr('city', 'eq', 'İzmir') | length", 2),
        ("people | selectattr('age', 'in', [20, 25]) | length", 2),
        ("people | sum(attribute='age')", 75),
        ("[0.1, 0.2, 0.3] | sum", 0.6),
        ("[invoice.total, 0.5] | sum", Decimal("1235.00")),
        ("[] | sum", 0),
        ("[hours(1), hours(2)] | sum | string", "3:00:00"),
        ("people | map(attribute='age') | max", 30),
        ("people | min(attribute='age')", PEOPLE[1]),
        ("[] | max | default(0)", 0),
        ("people | groupby('city') | map('first')", ["Ankara", "İzmir"]),
        ("people | groupby('city') | map('last') | map('length')", [1, 2]),
        ("['a', 'A', 'b'] | unique", ["a", "b"]),
        ("people | unique(attribute='city') | length", 2),
        ("[3, 1] | first", 3),
        ("[3, 1] | last", 1),
        ("'abc' | list", ["a", "b", "c"]),
        ("[1, 2, 3] | reverse", [3, 2, 1]),
        ("[1, 2, 3, 4] | select('even')", [2, 4]),
        ("[1, 2, 3, 4] | reject('gt', 2)", [1, 2]),
        ("[0, 1, '', 'a'] | select", [1, "a"]),
        ("['a', 'i'] | map('tr_upper')", ["A", "İ"]),
        ("['a b'] | map('replace', ' ', '-')", ["a-b"]),
        ("[1, 2, 3] | batch(2, 0)", [[1, 2], [3, 0]]),
        ("{'b': 1, 'a': 2} | dictsort", [["a", 2], ["b", 1]]),
        ("{'b': 1, 'a': 2} | dictsort(by='value')", [["b", 1], ["a", 2]]),
        ("{'a': 1} | items", [["a", 1]]),
        ("[1, 2] | join(', ')", "1, 2"),
        ("people | join('/', attribute='city')", "İzmir/Ankara/İzmir"),
        ("[[1, 'a']] | map(attribute=1)", ["a"]),
        ("[1] is iterable and 'a' is string and {} is mapping and 1 is number and 1 is integer and 1.5 is float", True),
        ("true is boolean and true is true and not (1 is true) and none is none and not (true is number)", True),
        ("4 is even and 3 is odd and 9 is divisibleby 3 and 'a' is in 'abc' and 'a' is lower and 'A' is upper", True),
        ("invoice.due is date and 1 is eq(1) and 1 is ne(2) and 1 is lt(2) and 2 is ge(2) and [1] is sequence", True),
    ],
)
def test_list_filters_and_tests(source: str, expected: object) -> None:
    found = value(source, people=PEOPLE)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("{{ 'x' | date }}", "date: 'x' is no date; dates look like 2026-11-22 or 22.11.2026"),
        ("{{ 1700000000 | date }}", "a Unix time is not guessed"),
        ("{{ '2026-02-30' | date }}", "is no date"),
        ("{{ '31.02.2026' | date }}", "is no date"),
        ("{{ '' | date }}", "is no date"),
        ("{{ invoice.due | time }}", "a date has none"),
        ("{{ '25:00' | time }}", "is no time of day"),
        ("{{ 'abc' | money('TRY') }}", "money: 'abc' is no number"),
        ("{{ true | money('TRY') }}", "not true or false"),
        ("{{ [] | money('TRY') }}", "money takes a number, not a list"),
        ("{{ 5 | money(event.payload.name) }}", "is no currency's code"),
        ("{{ 5 | number(99) }}", "decimals from 0 to 10"),
        ("{{ '12' | phone }}", "phone: "),
        ("{{ event.payload.name | int }}", "is no number"),
        ("{{ [1] | upper }}{{ event.payload.name | first | abs }}", "abs takes a number"),
        ("{{ 'abc' | join(',') }}", "join takes a list, not a text"),
        ("{{ [1] | join(1) }}", "join takes a text"),
        ("{{ [1] | map('nope') }}", 'there is no filter "nope"'),
        ("{{ [1] | map('money') }}", "missing a required argument: 'currency'"),
        ("{{ [1] | select('nope') }}", 'there is no test "nope"'),
        ("{{ [[1], [2]] | sort }}", "sort takes texts, numbers or dates, not a list; name the attribute"),
        ("{{ 5 | length }}", "a number has no length"),
        ("{{ none | upper }}", "the value is none"),
        ("{{ now() | date(event.payload.status) }}", "has no meaning in this pattern"),
    ],
)
def test_a_filter_says_what_it_takes(source: str, cause: str) -> None:
    with pytest.raises(RenderFailed) as caught:
        text(source)
    assert cause in str(caught.value)


def test_an_unknown_locale_is_said() -> None:
    with pytest.raises(RenderFailed, match="the locale 'xx_YY' is not known"):
        text("{{ invoice.due | date }}", RenderContext("xx_YY", TURKISH.timezone, TURKISH.now))


@pytest.mark.parametrize(
    ("written", "turkish", "english"),
    [
        ("1.234,56", "1234.56", "1234.56"),
        ("1,234.56", "1234.56", "1234.56"),
        ("1.234.567", "1234567", "1234567"),
        ("1.234", "1234", "1.234"),
        ("1,234", "1.234", "1234"),
        ("0.500", "0.500", "0.500"),
        ("12.50", "12.50", "12.50"),
        ("12,5", "12.5", "12.5"),
        ("1 234,5", "1234.5", "1234.5"),
        ("₺1.234,50", "1234.50", "1234.50"),
        ("1.234,50 TL", "1234.50", "1234.50"),
        ("-5", "-5", "-5"),
        ("+5.5", "5.5", "5.5"),
        (",5", "0.5", "0.5"),
        ("1e3", "1E+3", "1E+3"),
    ],
)
def test_numbers_are_read_as_people_write_them(written: str, turkish: str, english: str) -> None:
    assert parse_number(written, "tr_TR") == Decimal(turkish)
    assert parse_number(written, "en_US") == Decimal(english)


@pytest.mark.parametrize(
    "written",
    ["", "abc", "1.2.3", "1,2,3", "1.23,456.7", "12.34,5", "--5", "1" * 100, "0x10", "NaN", "inf", "1,234,56"],
)
def test_what_is_no_number_is_refused(written: str) -> None:
    for locale in ("tr_TR", "en_US"):
        with pytest.raises(ValueError, match="is no number"):
            parse_number(written, locale)


def test_the_turkish_alphabet_sorts() -> None:
    letters = list("abcçdefgğhıijklmnoöprsştuüvyz")
    assert sorted("zyvüutşsrpöonmlkjiıhğgfedçcba", key=tr_sort_key) == letters


def test_times_and_dates_of_the_scope_are_formatted() -> None:
    values: dict[str, Any] = {"t": time(8, 5), "d": date(2026, 1, 2)}
    assert text("{{ t | time }} {{ d | datetime('d MMM HH:mm') }}", **values) == "08:05 2 Oca 00:00"


@given(
    st.decimals(-(10**12), 10**12, places=3),
    st.sampled_from(["tr_TR", "en_US", "en_GB", "de_DE", "de_CH", "fr_FR", "ar_EG", "ja_JP", "nl_NL"]),
    st.sampled_from(["TRY", "EUR", "USD", "JPY", "KWD", "CHF"]),
)
def test_money_is_written_as_babel_writes_it(amount: Decimal, locale: str, currency: str) -> None:
    places = get_currency_precision(currency)
    rounded = amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = compile_text("{{ x | money(c) }}", field="text").render(
        make_scope(
            {"x": amount, "c": currency}, RenderContext(locale, ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC))
        )
    )
    assert text == format_currency(rounded, currency, locale=locale)
