import pytest
from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.documents.reader import read_document
from conwp_bot.documents.scalars import plain_value


def value_of(text: str) -> object:
    document, problems = read_document(f"key: {text}\n", "f.yaml")
    assert problems == []
    assert document is not None
    return document.value["key"]


@pytest.mark.parametrize(
    "written",
    [
        "no", "No", "NO", "yes", "on", "off", "y", "n", "True", "TRUE", "False", "Null", "NULL",
        "05321234567", "0555123456", "0555 123 45 67", "+905321234567", "12:30", "22:30:00", "1:30",
        "010", "0x1F", "0o17", "1_000", "1.10", "1.", ".5", "1e3", "-0", "+1", "-0.0x", ".inf", ".nan", "00",
        "2026-12-31", "2026-12-31 23:59", "2026-11-22T10:00:00Z", "1.2.3", "1,5", "=", "123456789012345678901",
    ],
)  # fmt: skip
def test_what_an_author_typed_stays_text(written: str) -> None:
    assert value_of(written) == written


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0), ("7", 7), ("-12", -12), ("905551234567", 905551234567), ("1.5", 1.5), ("-0.25", -0.25), ("10.0", 10.0),
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
    ],
)  # fmt: skip
def test_numbers_words_and_nothing_keep_their_type(written: str, value: object) -> None:
    assert value_of(written) == value
    assert type(value_of(written)) is type(value)


@pytest.mark.parametrize("written", ['"12"', "'true'", '"null"', '""'])
def test_quotes_make_text(written: str) -> None:
    assert value_of(written) == written[1:-1]


@given(st.from_regex(r"\A[-+0-9.eE_:x]{1,20}\Z"))
def test_a_number_writes_itself_as_it_was_typed(text: str) -> None:
    value = plain_value(text)
    assert str(value) == text


@given(st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1))
def test_every_integer_of_18_digits_is_one(number: int) -> None:
    assert plain_value(str(number)) == number
