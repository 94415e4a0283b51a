"""The YAML parser's complaints in plain words: what is wrong, where, and what it usually means."""

from __future__ import annotations

from typing import Any

from conwp_bot.documents.document import line_spans
from conwp_bot.model.problem import Problem

_COLON = 'a text that holds ": " needs quotes; otherwise compare this line\'s indentation with the line above'
_WHOLE = "a value that begins with a quote or a brace ends with it: put the whole value into quotes"


def explain(error: Exception, text: str, file: str) -> Problem:
    """Return the problem for an error of the parser; at the place that a person must change, as far as it can be told."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem(file, 1, 1, "", f"this is not valid YAML: {error}")
    spans = line_spans(text)
    line = min(mark.line, len(spans) - 1)
    start, end = spans[line]
    column = min(mark.column, end - start)
    row = text[start:end]
    complaint = str(getattr(error, "problem", "") or "")
    context = str(getattr(error, "context", "") or "")
    message, hint = _sentence(complaint, context, row, column)
    opened = getattr(error, "context_mark", None)
    if _is_unclosed(complaint, context) and opened is not None:
        return Problem(file, opened.line + 1, opened.column + 1, "", message, hint)
    return Problem(file, line + 1, column + 1, "", message, hint)


def _is_unclosed(complaint: str, context: str) -> bool:
    return (
        "flow sequence" in context
        or "flow mapping" in context
        or ("quoted scalar" in context and "end of" in complaint)
    )


def _sentence(complaint: str, context: str, row: str, column: int) -> tuple[str, str | None]:
    tab = row[: column + 1].lstrip(" ").startswith("\t") or "tab character" in complaint
    if tab:
        return "a tab stands where only spaces may", "indent with spaces"
    if "quoted scalar" in context and "end of" in complaint:
        return "the quotes that open here are never closed", None
    if "flow sequence" in context:
        return (
            "the list that opens here with [ is not closed with ]",
            "a value that begins with [ needs quotes if it is text",
        )
    if "flow mapping" in context:
        return (
            "the mapping that opens here with { is not closed with }",
            'a template at the beginning of a value needs quotes: "{{ … }}"',
        )
    if "mapping values are not allowed" in complaint:
        return "a `key: value` is not expected here", _COLON
    if "cannot start any token" in complaint:
        return f'a value cannot begin with "{row[column : column + 1]}"', "put the value into quotes"
    if "scanning an alias" in context:
        return "a value that begins with * needs quotes", f'e.g. "{row[column - 1 :].strip()[:40]}"' if column else None
    if "scanning an anchor" in context:
        return "a value that begins with & needs quotes", None
    if "parsing a tag" in context or "scanning a tag" in context:
        return "a value that begins with ! needs quotes", None
    if "escape" in complaint:
        return "this escape (\\) is not known in double quotes", "double the backslash, or use single quotes"
    if (
        "did not find expected key" in complaint
        or "did not find expected '-'" in complaint
        or "expected <block end>" in complaint
    ):
        return _misplaced(complaint, row, column)
    if "could not find expected ':'" in complaint:
        return "this line is no `key: value`", "is a colon missing, or the indentation wrong?"
    if "block scalar" in context:
        return "nothing but a line end may follow | or >", "begin the text on the next line"
    return f"this is not valid YAML: {_plain(complaint) or _plain(context)}", None


def _misplaced(complaint: str, row: str, column: int) -> tuple[str, str | None]:
    if row[:column].rstrip()[-1:] in ("'", '"', "}", "]"):
        return "something follows after the end of the value", _WHOLE
    if "'-'" in complaint:
        return "a list item (- …) is expected here", "compare this line's indentation with the items above"
    return (
        "this line's indentation fits nothing above it",
        "items of one list, and keys of one mapping, begin in the same column",
    )


def _plain(words: Any) -> str:
    return str(words).replace("\n", " ")[:120]
