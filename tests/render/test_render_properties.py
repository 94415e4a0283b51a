"""Whatever is written in a template, and whatever a payload brings: an answer, a problem or a failed rendering, soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from render_kit import scope

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render import TemplateProblem, compile_condition, compile_expression, compile_text, compile_value
from conwp_bot.flows.render.code import code_of
from conwp_bot.flows.render.environment import FILTERS
from conwp_bot.flows.render.layout import close_up
from conwp_bot.flows.render.parse import Kind
from conwp_bot.flows.render.tests import TESTS

PIECES = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "{{-",
            "-}}",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            ".",
            "|",
            "~",
            "'",
            '"',
            "\\",
            "\n",
        ),
        *(
            "+",
            "-",
            "*",
            "/",
            "//",
            "%",
            "**",
            "==",
            "!=",
            "<",
            "<=",
            "in",
            "not",
            "and",
            "or",
            "is",
            "if",
            "else",
            "=",
            " ",
            "  ",
        ),
        *(
            "for",
            "endfor",
            "endif",
            "set",
            "endset",
            "elif",
            "with",
            "endwith",
            "filter",
            "endfilter",
            "raw",
            "endraw",
            "macro",
        ),
        *(
            "event",
            "payload",
            "items",
            "x",
            "loop",
            "index",
            "invoice",
            "total",
            "due",
            "now",
            "today",
            "days",
            "range",
            "_",
            "__class__",
        ),
        *(
            "1",
            "0",
            "9999999999",
            "1.5",
            "1e9",
            "none",
            "true",
            "'a'",
            '"d MMMM"',
            '"TRY"',
            "ı",
            "İ",
            "\u0000",
            "\ud800",
            "😀",
            "ﬁ",
        ),
    ]
)
NAMES = st.sampled_from(
    [
        "event",
        "event.payload",
        "event.payload.items",
        "invoice.due",
        "invoice.total",
        "now()",
        "x",
        "loop.index",
        "nope",
    ]
)
LITERALS = st.sampled_from(
    [
        "1",
        "-1",
        "0",
        "1.5",
        "'a'",
        "''",
        "none",
        "true",
        "[1, 2]",
        "{'a': 1}",
        "(1,)",
        "today()",
        "days(2)",
        "'1.234,5'",
    ]
)
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=2).map(", ".join)
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(sorted(FILTERS)), arguments).map(lambda t: f"({t[0]} | {t[1]}({t[2]}))"),
        st.tuples(inner, st.sampled_from(sorted(FILTERS))).map(lambda t: f"({t[0]} | {t[1]})"),
        st.tuples(inner, st.sampled_from([n for n in TESTS if n.isalpha()])).map(lambda t: f"({t[0]} is {t[1]})"),
        st.tuples(
            inner,
            st.sampled_from(["upper", "split", "items", "get", "replace", "year", "weekday", "index", "a", "name"]),
            arguments,
        ).map(lambda t: f"{t[0]}.{t[1]}({t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        inner.map(lambda e: f"{e}[1:]"),
        inner.map(lambda e: f"(not {e})"),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, LITERALS), _grow, max_leaves=8)
TEMPLATES = st.recursive(
    st.one_of(EXPRESSIONS.map(lambda e: f"{{{{ {e} }}}}"), st.sampled_from(["text", "\n", "  "])),
    lambda inner: st.one_of(
        st.tuples(EXPRESSIONS, inner).map(lambda t: f"{{% for x in {t[0]} %}}{t[1]}{{% endfor %}}"),
        st.tuples(EXPRESSIONS, inner).map(
            lambda t: f"{{% for x in {t[0]} if x %}}{t[1]}{{{{ loop.last }}}}{{% else %}}-{{% endfor %}}"
        ),
        st.tuples(EXPRESSIONS, inner, inner).map(lambda t: f"{{% if {t[0]} %}}{t[1]}{{% else %}}{t[2]}{{% endif %}}"),
        st.tuples(EXPRESSIONS, inner).map(lambda t: f"{{% set x = {t[0]} %}}{t[1]}"),
        inner.map(lambda t: f"{{% set x %}}{t}{{% endset %}}{{{{ x }}}}"),
        st.tuples(inner, EXPRESSIONS).map(lambda t: f"{{% with x = {t[1]} %}}{t[0]}{{% endwith %}}"),
        inner.map(lambda t: f"{{% filter tr_upper %}}{t}{{% endfilter %}}"),
        st.tuples(inner, inner).map("".join),
    ),
    max_leaves=6,
)
PAYLOADS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.dates(max_value=date(9999, 12, 31)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "name", "items", "title", "price"]), inner, max_size=4),
    ),
    max_leaves=8,
)


def _bounded(work: Callable[[], None]) -> None:
    begun = time.process_time()
    said = ""
    try:
        work()
    except (TemplateProblem, RenderFailed) as error:
        said = str(error)
    assert time.process_time() - begun < 2.0
    assert len(said) < 600
    assert "\n" not in said


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.lists(PIECES, max_size=25).map("".join), st.lists(PIECES, max_size=25).map(" ".join), st.text(max_size=60)
    )
)
def test_random_text_is_a_template_a_problem_or_a_failed_rendering(source: str) -> None:
    _bounded(lambda: compile_text(source, field="text").render(scope()))
    _bounded(lambda: compile_text("{{ " + source + " }}", field="text").render(scope()))
    _bounded(lambda: compile_expression(source, field="when").evaluate(scope()))
    _bounded(lambda: compile_condition(source, field="when").holds(scope()))
    _bounded(lambda: compile_value([source], field="set").evaluate(scope()))


@settings(max_examples=400, deadline=None)
@given(TEMPLATES, PAYLOADS)
def test_a_template_that_was_checked_always_compiles(source: str, payload: Any) -> None:
    try:
        compiled = compile_text(source, field="text")
    except TemplateProblem:
        return
    if "{" in source:
        try:
            code_of(source, Kind.TEXT)
        except (TemplateError, SyntaxError) as error:  # what the check must have found
            raise AssertionError(f"{source!r} does not compile: {error}") from error
    _bounded(lambda: compiled.render(scope(x=payload)))


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, PAYLOADS)
def test_an_expression_gives_data_or_fails(source: str, payload: Any) -> None:
    def work() -> None:
        found = compile_expression(source, field="when").evaluate(scope(x=payload))
        assert not callable(found)
        if isinstance(found, (list, dict)):
            assert type(found) in (list, dict)

    _bounded(work)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["{% if a %}", "{#-x-#}", "{# y #}", "{%- endif -%}", "{%+ set b %}", "\n", " ", "\t", "t", "{{ c }}"]
        ),
        max_size=12,
    )
)
def test_closing_up_lines_moves_no_line_and_no_text(pieces: list[str]) -> None:
    source = "".join(pieces)
    closed = close_up(source)
    assert closed.count("\n") == source.count("\n")
    assert sorted(closed.replace(" ", "").replace("\t", "")) == sorted(source.replace(" ", "").replace("\t", ""))
