"""From source to jinja's tree, with every failure a TemplateProblem that has a place."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from jinja2 import TemplateSyntaxError, nodes
from jinja2.parser import Parser

from conwp_bot.flows.render.bounds import MAX_BRACKETS, MAX_SOURCE, shorten
from conwp_bot.flows.render.check import Uses, inspect_tree
from conwp_bot.flows.render.environment import RenderEnvironment
from conwp_bot.flows.render.layout import close_up
from conwp_bot.flows.render.problem import TemplateProblem, place

ENVIRONMENT = RenderEnvironment()
"""Immutable, and shared by all flows."""

RESULT = "__value__"
"""The name under which an expression leaves its value; no source can say it."""


class Kind(StrEnum):
    """How a source is read: as text with tags, as a bare expression, or as a text that is one `{{ … }}` and keeps its type."""

    TEXT = "text"
    EXPRESSION = "expression"
    SINGLE = "single"


@lru_cache(maxsize=4096)
def analyse(source: str, kind: Kind) -> Uses:
    """Check a source and say what it uses; raises TemplateProblem. Compiles nothing; the same source is looked at once."""
    tree = parse(source, kind)
    return inspect_tree(tree if kind is Kind.TEXT else tree.body[0].node, source)  # type: ignore[attr-defined]


@lru_cache(maxsize=4096)
def is_single(source: str) -> bool:
    """Say whether a text is exactly one `{{ … }}` (which may not parse)."""
    bare = source.strip()
    if not (bare.startswith("{{") and bare.endswith("}}")):
        return False
    if not re.search(r"\{[{%#]|\}\}", bare[2:-2]):
        return True
    try:
        body = parse(bare, Kind.TEXT).body
    except TemplateProblem:
        return False
    return len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1


def parse(source: str, kind: Kind) -> nodes.Template:
    """Return the tree of a source, unchecked; raises TemplateProblem for what is no template of bounded size."""
    if len(source) > MAX_SOURCE:
        raise TemplateProblem(f"the text is longer than {MAX_SOURCE:,} characters", hint="split the step")
    _bound_brackets(source, kind)
    try:
        if kind is Kind.TEXT:
            return nodes.Template(Parser(ENVIRONMENT, close_up(source)).subparse(), lineno=1)
        if kind is Kind.SINGLE:
            return _assigning(_only_expression(source.strip()))
        return _assigning(_expression(source))
    except TemplateSyntaxError as error:
        raise _syntax_problem(error, source, kind) from None
    except RecursionError:
        raise TemplateProblem("the text is nested too deeply", hint="split the step") from None
    except (ValueError, SyntaxError) as error:
        # Numbers with thousands of digits, and the like.
        raise TemplateProblem(f"the text cannot be read: {shorten(str(error))}") from None


def _expression(source: str) -> nodes.Expr:
    if not source.strip():
        raise TemplateProblem("an expression is missing", hint="write e.g. event.payload.total > 100")
    braces = re.search(r"\{\{|\{%|\{#|\}\}(?=\s*$)", source)
    if braces and (braces[0] != "}}" or source.lstrip().startswith("{{")):
        line = source.count("\n", 0, braces.start()) + 1
        column = braces.start() - (source.rfind("\n", 0, braces.start()) + 1) + 1
        raise TemplateProblem(
            "braces do not belong in an expression", line=line, column=column, hint=f"write {_without_braces(source)}"
        )
    parser = Parser(ENVIRONMENT, source, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError(
            f"unexpected {str(parser.stream.current)!r} after the expression", parser.stream.current.lineno
        )
    return expression


def _without_braces(source: str) -> str:
    bare = source.strip()
    if bare.startswith("{{") and bare.endswith("}}") and "{" not in bare[2:-2] and len(bare) <= 80:
        return shorten(bare[2:-2].strip("-+ \t\n"), 80)
    return "the expression without {{ }} and {% %}"


def _only_expression(source: str) -> nodes.Expr:
    [output] = Parser(ENVIRONMENT, source).subparse()
    assert isinstance(output, nodes.Output)
    return output.nodes[0]


def _assigning(expression: nodes.Expr) -> nodes.Template:
    return nodes.Template([nodes.Assign(nodes.Name(RESULT, "store", lineno=1), expression, lineno=1)], lineno=1)


def _bound_brackets(source: str, kind: Kind) -> None:
    # Before parsing, because jinja's parser spends fourteen of Python's frames on each bracket. Prose between tags may hold any.
    inside, depth = kind is Kind.EXPRESSION, 0
    for match in _BRACKET.finditer(source):
        mark = match[0]
        if not inside:
            inside = mark in ("{{", "{%")
        elif mark == "%}" or (mark == "}}" and depth < 2):
            inside, depth = kind is Kind.EXPRESSION, 0
        elif mark[0] in "([{":
            depth += len(mark)
            if depth > MAX_BRACKETS:
                line = source.count("\n", 0, match.start()) + 1
                raise TemplateProblem(
                    f"brackets are nested deeper than {MAX_BRACKETS} levels",
                    line=line,
                    hint="split the expression with {% set %}",
                )
        else:
            depth = max(depth - len(mark), 0)


_BRACKET = re.compile(r"\{\{|\{%|%\}|\}\}|[(\[{)\]}]")


def _syntax_problem(error: TemplateSyntaxError, source: str, kind: Kind) -> TemplateProblem:
    message = error.message or "this is no template"
    quoted = re.findall(r"'([^']+)'", message)
    word = next((word for word in reversed(quoted) if word in source), None)
    line, column = place(source, error.lineno or 1, word)
    hint = None
    for part, advice in _ADVICE:
        if part in message:
            hint = advice
            break
    message = message.replace("'end of print statement'", "'}}'").replace("'end of statement block'", "'%}'")
    message = message.replace("end of template", "end of the text" if kind is Kind.TEXT else "end of the expression")
    return TemplateProblem(shorten(message[:1].lower() + message[1:], 200), line=line, column=column, hint=hint)


_ADVICE = (
    ("got '='", "to compare, write =="),
    ("expected token 'end of print statement'", "a {{ … }} holds one expression; join texts with ~"),
    (
        "unexpected end of template",
        "close it: every {{ needs }}, every {% if %} an {% endif %}, every {% for %} an {% endfor %}",
    ),
    ("Unexpected end of template", "every {% if %} needs an {% endif %}, every {% for %} an {% endfor %}"),
    (
        "unknown tag",
        "tags are if, elif, else, endif, for, endfor, set, endset, with, endwith, filter, endfilter, raw, endraw",
    ),
    ("Missing end of comment", "close it with #}"),
    ("unexpected char '&'", "write and"),
    ("unexpected char '!'", "write not"),
    ("unexpected char '?'", "write a if condition else b"),
)
