"""Rows of a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from conwp_bot.model.problem import near_miss
from conwp_bot.model.rows import Row
from conwp_bot.triggers.charset import is_broken, readable, reading_codec
from conwp_bot.triggers.columns import Convert, read_text

LONGEST_LINE = 1024 * 1024
LONGEST_RAW = 256 * 1024
"""What is kept of a row for the file of rejected rows."""


def csv_rows(path: Path, encoding: str, delimiter: str, convert: Mapping[str, Convert], start: int) -> Iterator[Row]:
    """Yield the rows with numbers greater than `start`; the first line that is not blank is the header."""
    try:
        codec, errors = reading_codec(encoding)
    except ValueError as error:
        yield Row(1, None, str(error), whole=True)
        return
    with path.open(encoding=codec, errors=errors, newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=delimiter)
        header, reason = _header(reader, lines, errors, convert)
        if reason is not None:
            if start < 1:
                yield Row(1, None, reason, _raw(lines.taken), whole=True)
            return
        typed = [(name, read) for name, read in convert.items() if read is not read_text]  # it is text
        yield from _records(reader, lines, header, typed, errors, start)


def _records(
    reader: Iterator[list[str]],
    lines: _Lines,
    header: Sequence[str],
    typed: Sequence[tuple[str, Convert]],
    errors: str,
    start: int,
) -> Iterator[Row]:
    number, width, taken = 0, len(header), lines.taken
    while True:
        taken.clear()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            if number > start:
                yield Row(number, None, _csv_reason(error, len(taken)), _raw(taken))
            continue
        if not any(record):
            continue  # blank, or only delimiters: what a spreadsheet leaves below a table
        number += 1
        if number <= start:
            continue
        raw = taken[0] if len(taken) == 1 else "".join(taken)
        reason: str | None = None
        values: dict[str, Any] = {}
        if len(record) != width:
            reason = f"it has {len(record)} fields, the header has {width}" + _quote_hint(len(taken))
        elif is_broken(raw, errors):
            reason = "it has bytes that are none in the file's encoding"
        elif "\0" in raw:
            reason = "it has a zero byte"
        else:
            values = dict(zip(header, record, strict=True))
            for name, read in typed:
                try:
                    values[name] = read(values[name])
                except ValueError as error:
                    reason = f'column "{name}": {error}'
                    break
        yield Row(number, values, None, raw) if reason is None else Row(number, None, reason, _raw(taken))


def _header(
    reader: Iterator[list[str]], lines: _Lines, errors: str, convert: Mapping[str, Convert]
) -> tuple[list[str], str | None]:
    """Return the columns' names, or why the file cannot be used."""
    try:
        record: list[str] = []
        while not any(map(str.strip, record)):
            lines.taken.clear()
            record = next(reader)
    except StopIteration:
        return [], "the file is empty"
    except csv.Error as error:
        return [], f"its header cannot be read: {_csv_reason(error, len(lines.taken))}"
    if any(is_broken(name, errors) or "\0" in name for name in record):
        return [], "its header has bytes that are none in the file's encoding"
    header = name_columns(record)
    for name in convert:
        if name not in header:
            hint = near_miss(name, header)
            known = ", ".join(header[:20])
            return [], f'the column "{name}" is missing' + (f"; {hint}" if hint else "") + f" (columns: {known})"
    return header, None


def name_columns(record: Sequence[str]) -> list[str]:
    """Return names that are unique: trimmed; `column_3` for an empty one; `name_2` for one that was there before."""
    names = [name.strip() or f"column_{index}" for index, name in enumerate(record, 1)]
    taken = set(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        found = name
        if seen[name] > 1:
            number = seen[name]
            while (found := f"{name}_{number}") in taken:
                number += 1
            taken.add(found)
        unique.append(found)
    return unique


class _Lines:
    """The lines of a file, remembered until `taken` is cleared; one that has no end within bounds is skipped and raises csv.Error."""

    def __init__(self, file: TextIO) -> None:
        self.taken: list[str] = []
        self._lines = self._read(file.readline)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if len(line) >= LONGEST_LINE:
            raise csv.Error("line too long")
        return line

    def _read(self, readline: Callable[[int], str]) -> Iterator[str]:
        remember = self.taken.append
        while line := readline(LONGEST_LINE):
            remember(line)
            if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                while (rest := readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
                    pass
            yield line


def _csv_reason(error: csv.Error, lines: int) -> str:
    text = str(error)
    if "field larger" in text:
        return "it has a field of more than 128 KiB" + _quote_hint(lines)
    if "line too long" in text:
        return "it has a line of more than 1 MiB"
    return f"it cannot be read: {text}"


def _quote_hint(lines: int) -> str:
    return f"; a quote is perhaps not closed: it reaches over {lines} lines" if lines > 1 else ""


def _raw(lines: Sequence[str]) -> str:
    return readable("".join(lines)[:LONGEST_RAW])
