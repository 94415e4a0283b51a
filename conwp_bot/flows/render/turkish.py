"""Letter case in Turkish: i and İ, ı and I are pairs, which Python's own methods do not know."""

from __future__ import annotations

import re

_TO_LOWER = str.maketrans({"İ": "i", "I": "ı"})
_TO_UPPER = str.maketrans({"i": "İ", "ı": "I"})
# A word may hold an apostrophe (İstanbul'da) and combining marks; only its first letter is large.
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def tr_upper(text: str) -> str:
    """Return the text in capitals: `ısı izni` is `ISI İZNİ`."""
    return text.translate(_TO_UPPER).upper()


def tr_lower(text: str) -> str:
    """Return the text in small letters: `ISI İZNİ` is `ısı izni`."""
    # I with a dot above as two characters (from decomposed text) is İ.
    return text.replace("I\u0307", "i").translate(_TO_LOWER).lower()


def tr_capitalize(text: str) -> str:
    """Return the text with a capital first letter and the rest in small letters."""
    return tr_upper(text[:1]) + tr_lower(text[1:])


def tr_title(text: str) -> str:
    """Return the text with each word capitalised: `ISPARTA'DAN İZMİR'E` is `Isparta'dan İzmir'e`."""
    return _WORD.sub(lambda word: tr_capitalize(word[0]), text)


def plain_title(text: str) -> str:
    """Return the text with each word capitalised by Unicode's rules; unlike Python's, an apostrophe begins no word."""
    return _WORD.sub(lambda word: word[0].capitalize(), text)


_ALPHABET = "abcçdefgğhıijklmnoöpqrsştuüvwxyz"
# Letters in their Turkish order, as neighbours in a range that no text uses.
_ORDER = str.maketrans({letter: chr(0xE000 + place) for place, letter in enumerate(_ALPHABET)} | {"â": chr(0xE000)})


def tr_sort_key(text: str) -> str:
    """Return a key that sorts as a Turkish dictionary does (ç after c, ı before i), regardless of case."""
    return tr_lower(text).translate(_ORDER)
