"""What is wrong in a source is said before it runs, with its place and what to do."""

from __future__ import annotations

import pytest

from conwp_bot.flows.render import TemplateProblem, compile_condition, compile_expression, compile_text, compile_value


def problem(source: str) -> TemplateProblem:
    with pytest.raises(TemplateProblem) as caught:
        compile_text(source, field="text")
    return caught.value


@pytest.mark.parametrize(
    ("source", "line", "column", "message", "hint"),
    [
        ("a\n{{ x | uper }}", 2, 8, 'there is no filter "uper"', 'did you mean "upper"?'),
        ("{{ x is defind }}", 1, 9, 'there is no test "defind"', 'did you mean "defined"?'),
        ("{{ x | attr('a') }}", 1, 8, 'there is no filter "attr"', "write a dot"),
        ("{{ x | format }}", 1, 8, 'there is no filter "format"', "join texts with ~"),
        ("{{ x | random }}", 1, 8, 'there is no filter "random"', "the same when a run is resumed"),
        ("{{ x | safe }}", 1, 8, 'there is no filter "safe"', "plain text"),
        ("{{ x.__class__ }}", 1, 6, '"__class__" cannot be used', None),
        ("{{ a = 1 }}", 1, 6, "got '='", "to compare, write =="),
        ("{{ a b }}", 1, 6, "expected token '}}', got 'b'", "join texts with ~"),
        ("{{ a", 1, 1, "unexpected end of the text", "close it"),
        ("{% if a %}x", 1, 4, "unexpected end of the text", "endif"),
        ("x\ny {% fro a in b %}", 2, 6, "unknown tag 'fro'", "tags are"),
        ("{% include 'a' %}", 1, 4, "{% include %} cannot be used here", "one piece"),
        ("{% macro a() %}{% endmacro %}", 1, 4, "macros cannot be used here", "{% set %}"),
        ("{% set ns.a = 1 %}", 1, 4, "a name with a dot cannot be set", "sum"),
        ("{% for a in b recursive %}{% endfor %}", 1, 15, "a loop cannot be recursive", None),
        ("{{ f(*a) }}", 1, 6, "arguments cannot be given with * or **", "write them out"),
        ("{{ x | money }}", 1, 8, "filter money: missing a required argument: 'currency'", None),
        ("{{ x | upper(1) }}", 1, 8, "filter upper: too many positional arguments", None),
        ("{{ x | truncate(lenght=3) }}", 1, 8, "filter truncate: got an unexpected keyword argument 'lenght'", None),
        ("{{ x | money('TL') }}", 1, 15, '"TL" is no currency', None),
        ("{{ x | date('%d.%m') }}", 1, 14, "not with %", None),
        ("{{ x | date('dd.MM.YYYY') }}", 1, 14, "years are y (yyyy)", None),
        ("{{ x | date('dd.mm.yyyy') }}", 1, 14, "months are M (MM)", None),
        ("{{ loop.index }}", 1, 4, 'there is no "loop" here', "it exists within {% for %}"),
        ("{# a", 1, 1, "missing end of comment", "close it"),
        ("{{ a && b }}", 1, 6, "unexpected char '&'", "write and"),
    ],
)
def test_a_problem_has_a_place_and_a_hint(source: str, line: int, column: int, message: str, hint: str | None) -> None:
    found = problem(source)
    assert message in found.message
    assert (found.line, found.column) == (line, column)
    if hint:
        assert hint in (found.hint or "")


@pytest.mark.parametrize("source", ["{{ a == 1 }}", "a == {{ b }}", "{% if a %}b{% endif %}", " {{a}} "])
def test_braces_in_an_expression_are_a_problem_with_that_hint(source: str) -> None:
    for compile_it in (compile_expression, compile_condition):
        with pytest.raises(TemplateProblem, match="braces do not belong in an expression") as caught:
            compile_it(source, field="when")
        assert caught.value.hint
    with pytest.raises(TemplateProblem) as caught:
        compile_expression("\n  {{ a == 1 }}", field="when")
    assert (caught.value.line, caught.value.column, caught.value.hint) == (2, 3, "write a == 1")


def test_a_mapping_in_an_expression_is_no_brace_problem() -> None:
    assert compile_expression("{'a': {'b': 1}}", field="x").evaluate({}) == {"a": {"b": 1}}
    assert compile_expression("{'a': {'b': {}}}", field="x").evaluate({}) == {"a": {"b": {}}}


@pytest.mark.parametrize("source", ["", "  ", "a b", "a ==", "if a", "(", "1 +", "a; b"])
def test_what_is_no_expression_is_a_problem(source: str) -> None:
    with pytest.raises(TemplateProblem):
        compile_expression(source, field="when")


def test_a_problem_within_a_value_names_its_element() -> None:
    with pytest.raises(TemplateProblem, match=r"^line 1, column 8: vars\.a\[1\]\.b: there is no filter") as caught:
        compile_value({"a": [1, {"b": "{{ x | uper }}"}]}, field="vars")
    assert caught.value.message.count("vars.a") == 1


def test_prose_may_hold_any_brackets() -> None:
    assert compile_text("(" * 500 + "{{ 1 }}" + ":(" * 100, field="text").render({}) == "(" * 500 + "1" + ":(" * 100


def test_a_long_source_is_a_problem() -> None:
    assert "longer than 32,768" in problem("{{ a }}" + "x" * 33_000).message
