"""Compiled templates: made when first rendered, kept by source, shared by all flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import InvalidOperation
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render.bounds import MAX_OUTPUT, Refusal, shorten
from conwp_bot.flows.render.functions import FUNCTIONS
from conwp_bot.flows.render.missing import MissingUsed
from conwp_bot.flows.render.parse import ENVIRONMENT, RESULT, Kind, parse
from conwp_bot.flows.render.plain import to_value
from conwp_bot.flows.render.problem import TemplateProblem
from conwp_bot.flows.render.rendering import Rendering

_FILE = "<flow template>"


class Code(NamedTuple):
    """One template's function, and how the lines of its Python lead back to lines of its source."""

    root: Callable[[Rendering], Iterator[str]]
    lines: tuple[tuple[int, int], ...]


@lru_cache(maxsize=2048)
def code_of(source: str, kind: Kind) -> Code:
    """Return a source's function; generating and compiling it takes 0.3 to 3 ms, so it is made once, when first needed.

    Kept ones take about 5 KB each.
    """
    python = ENVIRONMENT.compile(parse(source, kind), filename=_FILE)
    # What runs is what `codegen.py` wrote from a tree that `check.py` allowed.
    space: dict[str, Any] = {"environment": ENVIRONMENT, "__file__": _FILE}
    exec(python, space)  # noqa: S102
    pairs = [pair.partition("=") for pair in space["debug_info"].split("&") if pair]
    return Code(space["root"], tuple((int(line), int(place)) for line, _, place in pairs))


def render_text(source: str, field: str, scope: Mapping[str, Any]) -> str:
    """Render a template; raises RenderFailed."""
    context = Rendering(ENVIRONMENT, {**FUNCTIONS, **scope})
    try:
        text = "".join(code_of(source, Kind.TEXT).root(context))
        if len(text) > MAX_OUTPUT:
            raise Refusal(f"the text grows beyond {MAX_OUTPUT:,} characters")
    except Exception as error:
        raise _failure(error, source, Kind.TEXT, field, scope) from None
    return text if text.isascii() else _whole_characters(text)


def evaluate(source: str, kind: Kind, field: str, scope: Mapping[str, Any]) -> Any:
    """Evaluate an expression to plain data; raises RenderFailed."""
    context = Rendering(ENVIRONMENT, {**FUNCTIONS, **scope})
    try:
        for _ in code_of(source, kind).root(context):
            pass
        return to_value(context, context.vars[RESULT])
    except Exception as error:
        raise _failure(error, source, kind, field, scope) from None


def _whole_characters(text: str) -> str:
    # JSON can bring half of an emoji ("\ud83d"), which neither the store nor the API can take.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _failure(error: Exception, source: str, kind: Kind, field: str, scope: Mapping[str, Any]) -> RenderFailed:
    cause = _cause(error, scope)
    line = _line(error.__traceback__, source, kind) if "\n" in source.strip() else None
    return RenderFailed(f"{field}: {cause}" + (f" (line {line} of the text)" if line else ""))


def _cause(error: Exception, scope: Mapping[str, Any]) -> str:
    match error:
        case MissingUsed():
            return error.what.explain([name for name in (*scope, *FUNCTIONS) if not name.startswith("__")])
        case TemplateProblem():
            return str(error)
        case Refusal():
            return str(error)
        case RecursionError():
            return "the value or the expression is nested too deeply"
        case MemoryError():
            return "not enough memory for this"
        case InvalidOperation():
            return "the numbers are too large or have too many digits for this"
        case OverflowError():
            return "a number or a date is out of range"
        case _:
            # Python's own words, which may hold a part of the value: so only a little of them.
            return shorten(str(error) or type(error).__name__, 120)


def _line(traceback: TracebackType | None, source: str, kind: Kind) -> int | None:
    python_line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _FILE:
            python_line = traceback.tb_lineno
        traceback = traceback.tb_next
    if python_line is None:
        return None
    before = [place for place, line in code_of(source, kind).lines if line <= python_line]
    return before[-1] if before else None
