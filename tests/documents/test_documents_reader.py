import time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conwp_bot.documents import reader
from conwp_bot.documents.reader import LARGEST_FILE, read_document
from conwp_bot.model.problem import Problem


def problems_of(source: str | bytes) -> list[str]:
    _, problems = read_document(source, "f.yaml")
    return [str(problem) for problem in problems]


def the_problem(source: str | bytes) -> Problem:
    document, problems = read_document(source, "f.yaml")
    assert document is None or problems
    assert len(problems) == 1, problems
    return problems[0]


TABLE = {
    # what people get wrong: (text, line, column, message, a part of the hint)
    "cron begins with a star": ("cron: */5 * * * *\n", 1, 8, "a value that begins with * needs quotes", '"*/5 * * * *"'),
    "a template without quotes": ("to: {{ phone }}\n", 1, 5, "a value that begins with {{ needs quotes", "{{ … }}"),
    "a template and more without quotes": ("a: {{ x }} y\n", 1, 4, "a value that begins with {{ needs quotes", "{{ … }}"),
    "an at sign": ("to: @bob\n", 1, 5, 'a value cannot begin with "@"', "quotes"),
    "a colon in a text": ("text: Not: bir\n", 1, 10, "a `key: value` is not expected here", "quotes"),
    "a tab for indentation": ("a:\n\tb: 1\n", 2, 1, "a tab stands where only spaces may", "spaces"),
    "a tab after spaces": ("a:\n  b: 1\n  \tc: 1\n", 3, 3, "a tab stands where only spaces may", "spaces"),
    "quotes never closed": ("a: 'x\nb: 2\n", 1, 4, "the quotes that open here are never closed", None),
    "a bracket never closed": ("a: [1, 2\nb: 3\n", 1, 4, "the list that opens here with [ is not closed with ]", "quotes"),
    "a brace never closed": ("a: {b: 1\n", 1, 4, "the mapping that opens here with { is not closed with }", "quotes"),
    "wrong indentation": ("a:\n  - b:\n      c: x\n     d: y\n", 4, 6, "this line's indentation fits nothing above it", "column"),
    "a key among items": ("- a\nb: 1\n", 2, 1, "a list item (- …) is expected here", "indentation"),
    "text after a quoted start": ('a: "x" == y\n', 1, 8, "something follows after the end of the value", "whole value"),
    "an apostrophe in quotes": ("a: 'it's'\n", 1, 8, "something follows after the end of the value", "whole value"),
    "a backslash": ('a: "C:\\q"\n', 1, 7, "this escape (\\) is not known in double quotes", "single quotes"),
    "text beside the bar": ("text: |x\n a\n", 1, 8, "nothing but a line end may follow | or >", "next line"),
    "a key given twice": ("a: 1\nb: 2\na: 3\n", 3, 1, 'the key "a" is given twice', "line 1"),
    "a merge key": ("x: &x {a: 1}\ny:\n  <<: *x\n", 3, 3, "merge keys (`<<`) are not supported", "write the keys out"),
    "a tag": ("a: !!python/object:os.system ls\n", 1, 4, "tags are not supported (!!python/object:os.system)", None),
    "a second document": ("a: 1\n---\nb: 2\n", 2, 1, "a second document begins here", "---"),
    "an unknown alias": ("a: *b\n", 1, 4, "the alias *b is not defined above", '"*b"'),
    "an alias to itself": ("a: &a [*a]\n", 1, 8, "the alias *a contains itself", None),
    "an alias as a key": ("a: &a x\n*a : 2\n", 2, 1, "an alias cannot be a key", None),
    "a list as a key": ("? [a]\n: 1\n", 1, 3, "a list cannot be a key", None),
    "NUL": ("a: b\nc: \0\n", 2, 4, "a control character (U+0000) stands here", None),
    "a bell": ("a: \x07\n", 1, 4, "a control character (U+0007) stands here", None),
    "a lone surrogate": ("a: \ud800\n", 1, 4, "a control character (U+D800) stands here", None),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE.keys())
def test_each_mistake_is_named_at_its_place_with_what_to_do(case: tuple[str, int, int, str, str | None]) -> None:
    text, line, column, message, hint = case
    problem = the_problem(text)
    assert (problem.line, problem.column, problem.message) == (line, column, message)
    if hint is not None:
        assert hint in (problem.hint or "")


def test_several_findings_are_reported_together() -> None:
    found = problems_of("a: 1\na: 2\nb: !x 3\nb: *nowhere\n")
    assert [each.split(":")[1] for each in found] == ["2", "3", "4", "4"]


@pytest.mark.parametrize("letter", "ğışİŞĞçöü")
def test_windows_1254_is_recognised(letter: str) -> None:
    problem = the_problem(f"a: 1\nb: Mü{letter}\n".encode("cp1254"))
    assert problem.message == "the file is not UTF-8"
    assert "Windows-1254" in (problem.hint or "")
    assert (problem.line, problem.column) == (2, 5)


def test_utf_16_is_named() -> None:
    assert "UTF-16" in the_problem("a: 1".encode("utf-16")).message


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    document, problems = read_document(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "f.yaml")
    assert document is not None
    assert (document.value, problems) == ({"a": 1, "b": 2}, [])


def test_a_file_over_1_mib_is_refused_unread() -> None:
    assert "larger than 1 MiB" in the_problem(b"a" * (LARGEST_FILE + 1)).message
    assert "larger than 1 MiB" in the_problem("a" * (LARGEST_FILE + 1)).message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded_before_anything_recurses(opening: str) -> None:
    assert "nested deeper than 50" in problems_of(opening * 5000)[-1]
    assert "nested deeper than 50" in problems_of(opening * 51 + "x")[-1]


def test_50_levels_are_allowed() -> None:
    document, problems = read_document("[" * 50 + "]" * 50, "f.yaml")
    assert document is not None
    assert problems == []


def test_an_alias_adds_its_depth() -> None:
    deep = "a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a" + "]" * 30
    assert "nested deeper than 50" in problems_of(deep)[-1]


def test_the_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (found,) = problems_of("\n".join(lines))
    assert "more than" in found


def test_the_merge_key_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 {k0: 1}"] + [f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n  k{n}: 1" for n in range(1, 26)]
    begun = time.monotonic()
    assert any("merge keys" in each for each in problems_of("\n".join(lines)))
    assert time.monotonic() - begun < 1


def test_the_number_of_values_is_bounded() -> None:
    assert "more than 100000 values" in problems_of("[" + "1," * 100_001 + "]")[-1]


def test_an_alias_repeats_its_value() -> None:
    document, problems = read_document("a: &x {b: [1, 2]}\nc: *x\n", "f.yaml")
    assert document is not None
    assert (document.value["c"], problems) == ({"b": [1, 2]}, [])


def test_keys_are_text_whatever_they_look_like() -> None:
    document, _ = read_document("1: a\ntrue: b\n2026-01-01: c\n", "f.yaml")
    assert document is not None
    assert list(document.value) == ["1", "true", "2026-01-01"]


def test_an_empty_file_is_none() -> None:
    for text in ("", "# only a comment\n", "---\n"):
        document, problems = read_document(text, "f.yaml")
        assert document is not None
        assert (document.value, problems) == (None, [])


def test_the_python_parser_reads_the_same_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_Loader", yaml.SafeLoader)
    document, problems = read_document("a: [0555, no, 1]\nb: |\n  x\n", "f.yaml")
    assert document is not None
    assert (document.value, problems) == ({"a": ["0555", "no", 1], "b": "x\n"}, [])
    for name in (
        "cron begins with a star",
        "a colon in a text",
        "a key given twice",
        "quotes never closed",
        "an unknown alias",
    ):
        text, line, column, message, _ = TABLE[name]
        problem = the_problem(text)
        assert (problem.line, problem.column, problem.message) == (line, column, message)


YAML_LIKE = st.text(
    alphabet=st.one_of(st.sampled_from(list(" \n\t-:?[]{},&*!|>'\"%@`#<=~0123abcşİ.\\\r\x85\u2028")), st.characters()),
    max_size=200,
)


@given(YAML_LIKE)
@example("[" * 2000)
@example("&a " * 500)
@example("*a\n" * 500)
@example('"' * 999)
@example("? " * 500)
@example("- " * 500)
@example("!<" * 500)
@example("| \n" * 500)
@example("%" * 500)
@settings(max_examples=400, deadline=1000)
def test_no_text_makes_the_reader_fail_or_hang(text: str) -> None:
    document, problems = read_document(text, "f.yaml")
    assert document is not None or problems
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in str(problem)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=1000)
def test_no_bytes_make_the_reader_fail(source: bytes) -> None:
    document, problems = read_document(source, "f.yaml")
    assert document is not None or problems


PLAIN_DATA = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**17), 10**17),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abcş", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(PLAIN_DATA)
def test_json_is_read_as_it_is(value: object) -> None:
    import json

    text = json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\ufeff", "\\ufeff")
    text = text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    document, problems = read_document(text, "f.yaml")
    assert document is not None, problems
    assert document.value == value
