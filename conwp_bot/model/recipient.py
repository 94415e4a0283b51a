"""A parsed phone number: digits with the country code, never a raw string."""

from __future__ import annotations

import re
from functools import lru_cache

from conwp_bot.errors import InvalidRecipient

_NUMBER = re.compile(r"\+?[0-9]{5,18}", re.ASCII)

# What people put between digits; everything else makes a text no number.
_FILLING = re.compile(r"[\s().\-/\u00a0\u2010-\u2015\u202a-\u202e\u2060\u200e\u200f]+")


class Recipient(str):
    """A number as ConWP wants it: `905551234567`. Made by `parse_recipient`, or read back from the store."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        """Return the number with its middle hidden, for logs: `9055*****67`."""
        return mask_number(self)


def mask_number(digits: str) -> str:
    """Hide the middle of a number: four digits, stars, two digits; a short text is hidden whole."""
    if len(digits) < 8:
        return "*" * len(digits)
    return f"{digits[:4]}{'*' * (len(digits) - 6)}{digits[-2:]}"


@lru_cache(maxsize=4096)
def parse_recipient(text: str, region: str = "TR") -> Recipient:
    """Read a phone number in any usual spelling; one without a country code is of `region` (ISO 3166, e.g. `TR`).

    Accepts `0555 123 45 67`, `+90 (555) 123-45-67`, `00905551234567`, `905551234567`. Raises InvalidRecipient with the reason.
    Whether the number has WhatsApp cannot be known here. Source: libphonenumber's metadata.
    """
    import phonenumbers  # 25 ms: only who parses a number pays for it

    compact = _FILLING.sub("", text)
    if not compact:
        raise InvalidRecipient("no number was given")
    if not _NUMBER.fullmatch(compact):
        raise InvalidRecipient(f"{_shorten(text)!r} is no phone number")
    if (mobile := _own_mobile(compact, region)) is not None:
        return mobile
    if compact.startswith("00"):
        candidates = ["+" + compact[2:]]
    elif compact.startswith(("+", "0")):
        candidates = [compact]
    else:
        # `532 123 45 67` is how people leave the zero out at home (and would also be a number in Cuba): home comes first.
        candidates = [compact, "+" + compact]
    reason = ""
    for candidate in candidates:
        try:
            number = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException as error:
            reason = str(error)
            continue
        if phonenumbers.is_valid_number(number):
            return Recipient(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:])
        reason = "no such number exists in its country's numbering plan"
    raise InvalidRecipient(f"{_shorten(text)!r} is no valid phone number: {reason[0].lower()}{reason[1:]}")


class _Mobiles:
    """What is needed to know a region's mobile numbers without the whole of libphonenumber: 3 us instead of 80."""

    __slots__ = ("any", "code", "lengths", "pattern", "prefix")

    def __init__(self, code: str, prefix: str | None, pattern: str, lengths: frozenset[int], general: str) -> None:
        self.code = code
        self.prefix = prefix
        self.pattern = re.compile(pattern, re.ASCII)
        self.lengths = lengths
        self.any = re.compile(general, re.ASCII)  # every number of the region, mobile or not

    def has(self, national: str) -> bool:
        return len(national) in self.lengths and national[0] != "0" and self.pattern.fullmatch(national) is not None


@lru_cache(maxsize=64)
def _mobiles_of(region: str) -> _Mobiles | None:
    """Return how mobile numbers look in a region; None where reading one takes more than dropping a prefix."""
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.mobile is None or metadata.general_desc is None:
        return None
    mobile, general = metadata.mobile, metadata.general_desc
    if not mobile.national_number_pattern or not general.national_number_pattern:
        return None
    if metadata.national_prefix_transform_rule or metadata.national_prefix_for_parsing != metadata.national_prefix:
        return None
    return _Mobiles(
        code=str(metadata.country_code),
        prefix=metadata.national_prefix,
        pattern=mobile.national_number_pattern,
        lengths=frozenset(mobile.possible_length or general.possible_length),
        general=general.national_number_pattern,
    )


def _own_mobile(compact: str, region: str) -> Recipient | None:
    """Read a mobile number of the region itself, nearly every number there is; None leaves it to libphonenumber."""
    mobiles = _mobiles_of(region)
    if mobiles is None:
        return None
    code, prefix = mobiles.code, mobiles.prefix
    national = ""
    if compact.startswith("+"):
        if compact.startswith(code, 1):
            national = compact[1 + len(code) :]
    elif compact.startswith("00"):
        if compact.startswith(code, 2):
            national = compact[2 + len(code) :]
    elif mobiles.has(compact):
        national = compact
    elif mobiles.any.fullmatch(compact):
        return None
    elif prefix and compact.startswith(prefix):
        national = compact[len(prefix) :]
    elif compact.startswith(code):
        national = compact[len(code) :]
    return Recipient(code + national) if mobiles.has(national) else None


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
