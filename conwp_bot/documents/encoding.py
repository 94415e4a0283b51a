"""A file's bytes to text: UTF-8 only, and a useful word for what is not."""

from __future__ import annotations

import codecs
import re

from conwp_bot.model.problem import Problem

LARGEST_FILE = 1024 * 1024  # bytes

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_TURKISH = bytes(codecs.encode("ĞİŞğışÇÖÜçöü", "cp1254"))
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(source: bytes, file: str) -> tuple[str | None, list[Problem]]:
    """Return the text of a UTF-8 file (a byte order mark is dropped), or None with the problem."""
    if len(source) > LARGEST_FILE:
        return None, [Problem(file, 1, 1, "", f"the file is larger than 1 MiB ({len(source)} bytes)")]
    if source.startswith(_WIDE):
        return None, [Problem(file, 1, 1, "", "the file is not UTF-8 but UTF-16", "save it as UTF-8")]
    try:
        return source.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        offset = error.start + (3 if source.startswith(codecs.BOM_UTF8) else 0)
        before = source[:offset]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        hint = "save it as UTF-8"
        if source[offset] in _TURKISH:
            letter = bytes([source[offset]]).decode("cp1254")
            hint = f'it looks like Windows-1254 (Turkish), where this byte is "{letter}": save it as UTF-8'
        return None, [Problem(file, line, column, "", "the file is not UTF-8", hint)]


def first_forbidden(text: str, file: str) -> Problem | None:
    """Return the problem of the first character that YAML forbids (NUL, control characters, lone surrogates), if any."""
    match = _FORBIDDEN.search(text)
    if match is None:
        return None
    before = text[: match.start()]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Problem(
        file,
        line,
        column,
        "",
        f"a control character (U+{ord(match[0]):04X}) stands here",
        "remove it, or write it in double quotes as an escape",
    )
