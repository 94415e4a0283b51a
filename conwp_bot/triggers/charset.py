"""How a dropped file's bytes become text: its encoding and its delimiter, found by looking at it."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

_CHUNK = 1024 * 1024
_LONGEST_HEADER = 256 * 1024
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_ESCAPED = re.compile("[\udc80-\udcff]")
_FOREIGN = re.compile("[^\x00-\x7f\udc80-\udcff]")
_DELIMITERS = ";,\t"


def find_encoding(path: Path) -> str:
    """Return the codec of a file: what its mark says, else UTF-8, else Windows-1254. Reads it to the end, in flat memory; raises OSError.

    A file that is UTF-8 but for a few broken bytes stays UTF-8, so that those rows are rejected and not all the others garbled:
    Turkish text in Windows-1254 hardly ever spells a valid UTF-8 letter by chance.
    """
    with path.open("rb") as file:
        start = file.read(4)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
        file.seek(0)
        forgiving = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        good = bad = 0
        while chunk := file.read(_CHUNK):
            text = forgiving.decode(chunk)
            if not text.isascii():
                bad += len(_ESCAPED.findall(text))
                good += len(_FOREIGN.findall(text))
        return "utf-8" if good > bad else "cp1254"


def reading_codec(encoding: str) -> tuple[str, str]:
    """Return codec and error handler for `open`; raises ValueError for an encoding that is not known.

    Bytes that are none in the encoding become lone surrogates where it can say so, U+FFFD elsewhere (`is_broken` knows both).
    """
    try:
        info = codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"the encoding {encoding!r} is not known") from None
    if not getattr(info, "_is_text_encoding", True):
        raise ValueError(f"{encoding!r} is no encoding of text")
    if info.name == "utf-8":
        return "utf-8-sig", "surrogateescape"
    return info.name, "replace" if info.name.startswith(("utf-16", "utf-32")) else "surrogateescape"


def is_broken(text: str, errors: str) -> bool:
    """Say whether a text read with this error handler holds bytes that are none in its encoding."""
    if text.isascii():
        return False
    if errors == "replace":
        return "\ufffd" in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def readable(text: str) -> str:
    """Return the text with what cannot be stored replaced by U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def find_delimiter(path: Path, encoding: str) -> str:
    """Return what separates the columns: the sign among `;`, `,` and tab that stands most often, outside quotes, in the header line.

    A comma when there is none, a semicolon when it is a draw: it hardly stands in a name. Raises OSError, ValueError.
    """
    codec, errors = reading_codec(encoding)
    with path.open(encoding=codec, errors=errors, newline="") as file:
        line = ""
        while not line.strip():
            line = file.readline(_LONGEST_HEADER)
            if not line:
                break
    counts = dict.fromkeys(_DELIMITERS, 0)
    quoted = False
    for sign in line:
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in counts:
            counts[sign] += 1
    best = max(_DELIMITERS, key=lambda sign: counts[sign])
    return best if counts[best] else ","
