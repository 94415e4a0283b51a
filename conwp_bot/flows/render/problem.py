"""A finding about a template's source, with its place."""

from __future__ import annotations

import re


class TemplateProblem(Exception):
    """A template or expression that cannot be used. `line` and `column` count from 1 within its source; `hint` says what to do."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: "
        return where + self.message + (f"; {self.hint}" if self.hint else "")


def place(source: str, line: int, word: str | None) -> tuple[int, int]:
    """Return line and column of `word` in that line, or of its first tag: jinja knows lines only."""
    lines = source.splitlines() or [""]
    line = min(max(line, 1), len(lines))
    text = lines[line - 1]
    if word:
        # A name is found as a whole word, and inside braces rather than in the prose before them.
        pattern = rf"(?<!\w){re.escape(word)}(?!\w)" if word.replace("_", "a").isalnum() else re.escape(word)
        start = (
            max(text.find("{{"), text.find("{%")) if text.find("{{") < 0 or text.find("{%") < 0 else _first_tag(text)
        )
        for begin in (max(start, 0), 0):
            found = re.compile(pattern).search(text, begin)
            if found:
                return line, found.start() + 1
    tag = _first_tag(text)
    return line, tag + 1 if tag >= 0 else len(text) - len(text.lstrip()) + 1


def _first_tag(text: str) -> int:
    found = re.search(r"\{[{%#]", text)
    return found.start() if found else -1
