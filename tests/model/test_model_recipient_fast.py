"""The short way to read a region's own mobile numbers gives what libphonenumber gives."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conwp_bot.errors import InvalidRecipient
from conwp_bot.model import recipient
from conwp_bot.model.recipient import parse_recipient

REGIONS = ["TR", "DE", "GB", "FR", "NL", "AZ", "CY", "RU", "IT", "US", "BR", "AR", "SA", "AE", "IN", "BG", "GR", "XX"]


def slowly(text: str, region: str, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(recipient, "_own_mobile", lambda compact, region: None)
        try:
            return parse_recipient.__wrapped__(text, region)
        except InvalidRecipient as error:
            return str(error)


def quickly(text: str, region: str) -> str:
    try:
        return parse_recipient.__wrapped__(text, region)
    except InvalidRecipient as error:
        return str(error)


spellings = st.sampled_from(["{n}", "0{n}", "+{c}{n}", "00{c}{n}", "{c}{n}", "8{n}", "+{c}0{n}"])


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    region = draw(st.sampled_from(REGIONS))
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    national = str(example.national_number) if example else "5551234567"
    code = str(example.country_code) if example else "90"
    keep = draw(st.integers(0, len(national)))
    more = draw(st.text("0123456789", min_size=0, max_size=len(national) - keep + 1))
    home = draw(st.sampled_from([region, *REGIONS]))
    return draw(spellings).format(n=national[:keep] + more, c=code), home


@settings(max_examples=500, deadline=None)
@given(numbers())
def test_both_ways_read_the_same(number: tuple[str, str]) -> None:
    text, region = number
    with pytest.MonkeyPatch.context() as patch:
        slow = slowly(text, region, patch)
    assert quickly(text, region) == slow


def test_turkish_mobiles_in_every_spelling_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phonenumbers, "parse", None)
    for text in ("0555 123 45 67", "+90 (555) 123-45-67", "00905551234567", "905551234567", "555 123 45 67"):
        assert parse_recipient.__wrapped__(text, "TR") == "905551234567"
