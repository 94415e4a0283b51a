"""A YAML document that was read: its value, and where each key and value of it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from conwp_bot.documents.folding import source_offset
from conwp_bot.model.problem import Problem, Severity

Path = tuple[str | int, ...]
"""Keys and list indexes from the top: `("steps", 0, "send", "text")`."""

LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as the YAML parser counts them


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both count from 1."""

    line: int
    column: int


class Place:
    """Where a value stands: its start (from 0), its style (`|`, `>`, a quote, or empty), its key's start, and its children."""

    __slots__ = ("children", "column", "key", "line", "style")

    def __init__(self, line: int, column: int, style: str, key: tuple[int, int] | None) -> None:
        self.line = line
        self.column = column
        self.style = style
        self.key = key
        self.children: dict[str, Place] | list[Place] | None = None


class Document:
    """One file's value with its positions; `text` is the whole source, `file` what problems call it."""

    def __init__(self, file: str, text: str, value: Any, root: Place) -> None:
        self.file = file
        self.text = text
        self.value = value
        self._root = root

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Return where the value at `path` begins (or its key); for what is not there, the nearest thing around it."""
        place, reached = self._find(path)
        if key and reached and place.key is not None:
            return Position(place.key[0] + 1, place.key[1] + 1)
        return Position(place.line + 1, place.column + 1)

    def inside(self, path: Path, value: str, line: int, column: int) -> Position:
        """Return the file's place of a place (from 1) inside the text `value` that stands at `path`.

        Exact for literal blocks and values on one line; for folded and quoted text as near as folding allows.
        """
        place, reached = self._find(path)
        if not reached or place.children is not None or line < 1 or column < 1:
            return Position(place.line + 1, place.column + 1)
        if place.style == "|":
            return self._inside_literal(place, value, line, column)
        lines = value.split("\n")
        target = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
        offset = source_offset(self.text, self._offset(place), place.style, value, min(target, len(value)))
        return self._position_of(offset)

    def show(self, path: Path) -> str:
        """Write a path as people read it: `steps[1].send.to`."""
        place: Place | None = self._root
        shown = ""
        for part in path:
            if place is not None and _stands_for(place, part):
                continue
            if isinstance(part, int):
                shown += f"[{part}]"
            else:
                shown += f".{part}" if shown else str(part)
            place = _child(place, part)
        return shown

    def problem(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        severity: Severity = Severity.ERROR,
        key: bool = False,
        at: Position | None = None,
    ) -> Problem:
        """Make a problem about what stands at `path` (at its key, or at a given place)."""
        where = at or self.position(path, key=key)
        shown = one_line(self.show(path), 200)
        hint = one_line(hint, 400) if hint else None
        return Problem(self.file, where.line, where.column, shown, one_line(message, 400), hint, severity)

    def _find(self, path: Path) -> tuple[Place, bool]:
        place = self._root
        for part in path:
            if _stands_for(place, part):
                continue
            child = _child(place, part)
            if child is None:
                return place, False
            place = child
        return place, True

    def _inside_literal(self, place: Place, value: str, line: int, column: int) -> Position:
        lines = value.split("\n")
        row = place.line + line
        if line > len(lines) or row >= len(self._lines):
            return Position(place.line + 1, place.column + 1)
        # The block's indentation is what its source has more than its content, on any line that is not blank.
        indent = 0
        for number, content in enumerate(lines):
            if content.strip() and place.line + 1 + number < len(self._lines):
                start, end = self._lines[place.line + 1 + number]
                indent = max(0, end - start - len(content))
                break
        return Position(row + 1, indent + column)

    def _offset(self, place: Place) -> int:
        return self._lines[min(place.line, len(self._lines) - 1)][0] + place.column

    def _position_of(self, offset: int) -> Position:
        row = 0
        for number, (start, _) in enumerate(self._lines):
            if start > offset:
                break
            row = number
        return Position(row + 1, offset - self._lines[row][0] + 1)

    @cached_property
    def _lines(self) -> list[tuple[int, int]]:
        return line_spans(self.text)


def one_line(text: str, longest: int) -> str:
    """Return a text for a report: one line of visible characters, shortened, whatever a file put into it."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return short if short.isprintable() else "".join(char if char.isprintable() else "?" for char in short)


def line_spans(text: str) -> list[tuple[int, int]]:
    """Return where each line begins and ends, without its line end; a text has at least one line."""
    spans = []
    start = 0
    for match in LINE_END.finditer(text):
        spans.append((start, match.start()))
        start = match.end()
    spans.append((start, len(text)))
    return spans


def _stands_for(place: Place, part: str | int) -> bool:
    """Say whether a value is a short form of what a path looks for in it: one item for a list, a text for a mapping."""
    return place.children is None or (part == 0 and isinstance(place.children, dict))


def _child(place: Place | None, part: str | int) -> Place | None:
    if place is None:
        return None
    children = place.children
    if isinstance(children, dict):
        return children.get(part) if isinstance(part, str) else None
    if isinstance(children, list) and isinstance(part, int):
        return children[part] if 0 <= part < len(children) else None
    return None
