"""Rows of a JSON file (a list of objects, or one object) and of JSON Lines; exact numbers, flat memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from conwp_bot.model.rows import Row
from conwp_bot.triggers.charset import is_broken, readable, reading_codec
from conwp_bot.triggers.columns import MOST_DIGITS, Convert

LARGEST_RECORD = 1024 * 1024
"""Letters of one record at most."""

_CHUNK = 256 * 1024
_BLANKS = " \t\r\n"
_LONGEST_RAW = 256 * 1024


def json_lines(path: Path, encoding: str, convert: Mapping[str, Convert], start: int) -> Iterator[Row]:
    """Yield a row for each line that is not blank; a bad line is a row with its reason."""
    try:
        codec, errors = reading_codec(encoding)
    except ValueError as error:
        yield Row(1, None, str(error), whole=True)
        return
    number = 0
    with path.open(encoding=codec, errors=errors, newline="\n") as file:
        while line := file.readline(LARGEST_RECORD):
            whole = len(line) < LARGEST_RECORD or line.endswith("\n")
            if not whole:
                while (rest := file.readline(LARGEST_RECORD)) and not rest.endswith("\n"):
                    pass
            if whole and not line.strip():
                continue
            number += 1
            if number <= start:
                continue
            if not whole:
                yield Row(number, None, "it is longer than 1 MiB", readable(line[:_LONGEST_RAW]))
                continue
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                yield Row(number, None, _reason(error), readable(line[:_LONGEST_RAW]))
                continue
            yield _row(number, value, line, errors, convert)


def json_rows(path: Path, encoding: str, convert: Mapping[str, Convert], start: int) -> Iterator[Row]:
    """Yield the elements of a list, or the one object; where the text is broken there is a last row with the reason."""
    try:
        codec, errors = reading_codec(encoding)
    except ValueError as error:
        yield Row(1, None, str(error), whole=True)
        return
    number = 0
    with path.open(encoding=codec, errors=errors, newline="") as file:
        elements = _elements(file)
        while True:
            try:
                value, raw = next(elements)
            except StopIteration:
                return
            except (ValueError, RecursionError) as error:
                reason = f"the file cannot be read from here on: {_reason(error)}"
                if number + 1 > start:
                    yield Row(number + 1, None, reason, whole=number == 0)
                return
            number += 1
            if number > start:
                yield _row(number, value, raw, errors, convert)


def _elements(file: TextIO) -> Iterator[tuple[Any, str]]:
    """Yield the values of a list, or the one value, with their text; raises ValueError where the text is broken."""
    buffer = _Buffer(file)
    first = buffer.peek()
    if not first:
        raise ValueError("the file is empty")
    if first != "[":
        yield buffer.value()
        if buffer.peek():
            raise ValueError("there is more after the end of the object; JSON Lines are read with format: jsonl")
        return
    buffer.skip()
    if buffer.peek() == "]":
        buffer.skip()
    else:
        while True:
            yield buffer.value()
            sign = buffer.peek()
            buffer.skip()
            if sign == "]":
                break
            if sign != ",":
                raise ValueError("the list breaks off" if not sign else f"a comma is expected, not {sign!r}")
    if buffer.peek():
        raise ValueError("there is more after the end of the list")


class _Buffer:
    """A window over the file, as large as the value at hand."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._end = False

    def peek(self) -> str:
        """Return the next sign that is no blank, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def skip(self) -> None:
        self._at += 1

    def value(self) -> tuple[Any, str]:
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more():
                    raw = self._text[self._at : end]
                    self._at = end
                    return value, raw
            except json.JSONDecodeError:
                # Perhaps only because the rest is not here yet.
                if len(self._text) - self._at > LARGEST_RECORD:
                    raise ValueError("a record is longer than 1 MiB, or its text is broken") from None
                if not self._more():
                    raise

    def _more(self) -> bool:
        if self._end:
            return False
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._end = not chunk
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _row(number: int, value: Any, raw: str, errors: str, convert: Mapping[str, Convert]) -> Row:
    reason: str | None = None
    if is_broken(raw, errors):
        reason = "it has bytes that are none in the file's encoding"
    elif "\\u" in raw and _has_half_letters(value):
        reason = "it holds half of a surrogate pair (\\ud800 to \\udfff)"
    elif not isinstance(value, dict):
        reason = "it is no object"
    else:
        for name, read in convert.items():
            try:
                if name not in value:
                    raise ValueError("it is missing")
                value[name] = read(value[name])
            except ValueError as error:
                reason = f'column "{name}": {error}'
                break
    return Row(number, value, None, raw) if reason is None else Row(number, None, reason, readable(raw[:_LONGEST_RAW]))


def _has_half_letters(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON: {error.msg.lower()}"
    return str(error)


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it has a number of more than {MOST_DIGITS} digits")
    return int(text)


def _real(text: str) -> Decimal:
    value = Decimal(text)
    if len(text) > MOST_DIGITS or abs(value.adjusted()) > MOST_DIGITS:
        raise ValueError(f"it has a number of more than {MOST_DIGITS} digits")
    return value


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_int=_integer, parse_float=_real)
