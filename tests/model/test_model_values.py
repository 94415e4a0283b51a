"""Limits, lengths, numbers and ids: read as people write them, refused with a reason."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.errors import InvalidRecipient
from conwp_bot.ids import Ids
from conwp_bot.model.budget import Limit
from conwp_bot.model.duration import format_duration, parse_duration
from conwp_bot.model.plain import from_json, to_json
from conwp_bot.model.problem import Problem, near_miss
from conwp_bot.model.recipient import mask_number, parse_recipient
from conwp_bot.model.secret import Secret


@pytest.mark.parametrize(
    ("text", "count", "span"),
    [("1000/hour", 1000, 3600), ("20/minute", 20, 60), ("5/10s", 5, 10), ("3 / day", 3, 86400), ("1/1h30m", 1, 5400)],
)
def test_a_limit_is_a_count_over_any_span(text: str, count: int, span: int) -> None:
    assert Limit.parse(text) == Limit(count, timedelta(seconds=span))


@pytest.mark.parametrize(
    "text", ["", "1000", "/hour", "0/hour", "-1/hour", "ten/hour", "10/", "10/0s", "10/fortnight", "1e3/hour"]
)
def test_what_is_no_limit_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"limit|length of time"):
        Limit.parse(text)


@given(st.integers(1, 10**6), st.sampled_from(["hour", "minute", "day", "second", "10s", "1h30m", "7d"]))
def test_a_limit_is_written_as_it_is_read(count: int, span: str) -> None:
    assert str(Limit.parse(f"{count}/{span}")) == f"{count}/{span}"


@given(st.integers(0, 3600 * 24 * 1000 * 3000))
def test_a_length_is_written_as_it_is_read(milliseconds: int) -> None:
    length = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(length)) == length


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "1h x", "-5m", "5m-", "99999d", "1.2345678h"])
def test_what_is_no_length_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"length of time|ten years"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "0555 123 45 67",
        "+90 555 123 45 67",
        "+90 (555) 123-45-67",
        "00905551234567",
        "905551234567",
        "555 123 45 67",
        "0555.123.45.67",
        "\u202a+90 555 123 45 67\u202c",
    ],
)
def test_a_turkish_number_in_any_usual_spelling_is_the_same_recipient(text: str) -> None:
    assert parse_recipient(text) == "905551234567"


def test_a_number_without_its_zero_is_at_home_before_it_is_abroad() -> None:
    # +53 21234567 is a number in Cuba; who writes 532 123 45 67 in Turkey does not mean it.
    assert parse_recipient("5321234567") == "905321234567"
    assert parse_recipient("+5321234567", "TR") == "5321234567"


def test_a_foreign_number_with_its_country_code_is_taken_with_and_without_a_plus() -> None:
    assert parse_recipient("+49 1512 3456789") == parse_recipient("4915123456789") == "4915123456789"
    assert parse_recipient("01512 3456789", "DE") == "4915123456789"


@pytest.mark.parametrize(
    "text", ["", "  ", "abc", "0555 123", "@ali", "0555 123 45 67 x", "+90 000 000 00 00", "9" * 40, "１２３４５"]
)
def test_what_is_no_number_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidRecipient, match=r"number"):
        parse_recipient(text)


def test_a_masked_number_shows_its_ends_only() -> None:
    assert parse_recipient("0555 123 45 67").masked == "9055******67"
    assert mask_number("12345") == "*****"


def test_a_secret_is_not_seen_in_any_text() -> None:
    secret = Secret("k-123")
    assert "k-123" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "k-123"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.dates()
    | st.datetimes(timezones=st.just(UTC))
    | st.times()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.timedeltas(timedelta(0), timedelta(days=999)).map(
        lambda d: timedelta(milliseconds=d // timedelta(milliseconds=1))
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), PLAIN, max_size=4))
def test_values_keep_their_type_in_the_store(value: dict[str, object]) -> None:
    assert from_json(to_json(value)) == value


@pytest.mark.parametrize(
    "value", [{"$date": "not a date"}, {"$decimal": [1]}, {"$other": 1}, {"$date": "2026-01-01", "x": 1}]
)
def test_a_payload_that_looks_like_a_typed_value_stays_what_it_says(value: object) -> None:
    assert from_json(to_json(value)) == value


def test_each_type_of_value_is_kept() -> None:
    value = [date(2026, 12, 31), time(9, 30), Decimal("1.10"), timedelta(hours=2), datetime(2026, 1, 1, tzinfo=UTC)]
    assert from_json(to_json(value)) == value


def test_ids_sort_in_the_order_they_were_made_even_within_a_millisecond_or_when_the_clock_goes_back() -> None:
    ids = Ids()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    instants = [start + timedelta(milliseconds=offset) for offset in [0, 0, 0, 1, 1, 0, -1000, 2]]
    made = [ids.make("msg", instant) for instant in instants]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_problem_reads_as_place_key_sentence_and_hint() -> None:
    problem = Problem(
        "flows/a.yaml", 14, 9, "steps[1].send.to", 'unknown account "shpo"', near_miss("shpo", ["shop", "support"])
    )
    assert str(problem) == 'flows/a.yaml:14:9: steps[1].send.to: unknown account "shpo"; did you mean "shop"?'
    assert problem.as_json()["severity"] == "error"
