"""What one rendering may cost, and the refusal that ends it.

A template's author is trusted to mean well, its payload is not; neither may make the daemon hang or swell. Work is counted, not
timed, so that the same template with the same data always ends the same way.
"""

from __future__ import annotations

MAX_SOURCE = 32 * 1024
"""Characters in one template or expression."""

MAX_BRACKETS = 24
"""Brackets within brackets in a source; jinja's parser takes about fourteen of Python's frames for each."""

MAX_DEPTH = 60
"""Expressions within expressions, which is also how many operators may stand in one row."""

MAX_LOOPS = 6
"""Loops within loops."""

MAX_STATEMENTS = 20
"""Statements (if, for, with, set) within statements."""

MAX_WORK = 100_000
"""Units of work in one rendering; a unit is a step through a loop, an operation, a filter, or a small part of a large value: 1 to 5 us."""

MAX_OUTPUT = 64 * 1024
"""Characters that one rendering may give."""

MAX_TEXT = 1024 * 1024
"""Characters of a text on its way (a payload may be this large)."""

MAX_RANGE = 10_000
"""Numbers in one `range()`, and elements that a list may be multiplied or added to."""

MAX_BITS = 1024
"""Size of a whole number that is computed with."""

MAX_VALUE = 8 * 1024 * 1024
"""Characters in all texts of a value that an expression gives."""

NESTING = 60
"""Lists and mappings within each other in a value that is written or given."""


class Refusal(Exception):
    """A template asked for something that it does not get; the message is a sentence for its author, without the field."""


class Exhausted(Refusal):
    """The rendering has used up one of its bounds."""


def shorten(text: str, length: int = 60) -> str:
    """Return a text fit for an error's line: no line ends or control characters, not longer than `length`."""
    clean = "".join(c if c.isprintable() else " " for c in text[: length + 1])
    return clean if len(clean) <= length else clean[: length - 1] + "…"
