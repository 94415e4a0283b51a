"""What an unquoted scalar means.

YAML 1.1 reads `no` as false, `12:30` as 750 and `0555…` as an octal number; strict YAML 1.2 still loses a leading zero. Here a
scalar is a number only when writing that number gives the very same text, so nothing that an author typed is ever changed:
phone numbers, times, dates and versions (`1.10`) stay text.
"""

from __future__ import annotations

import re
from typing import Any

_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
# 18 digits fit every database and JSON reader; a longer row of digits is an identifier, not a quantity.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")


def plain_value(text: str) -> Any:
    """Return what a plain scalar stands for: None, a bool, an int or a float in its canonical form, else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[-1].isdigit():
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if len(text) < 30 and _FLOAT.fullmatch(text):
        number = float(text)
        if repr(number) == text:
            return number
    return text
