import pytest
from hypothesis import given
from hypothesis import strategies as st

from conwp_bot.documents.document import Document
from conwp_bot.documents.reader import read_document


def read(text: str) -> Document:
    document, problems = read_document(text, "f.yaml")
    assert document is not None
    assert problems == []
    return document


def place(document: Document, *path: str | int, key: bool = False) -> tuple[int, int]:
    at = document.position(path, key=key)
    return at.line, at.column


def found_at(document: Document, text: str, value: str, word: str, *path: str | int) -> str:
    """Return what stands in the source where `word` of the value should be."""
    index = value.index(word)
    before = value[:index]
    at = document.inside(path, value, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)
    return text.split("\n")[at.line - 1][at.column - 1 :][: len(word)]


def test_keys_and_values_have_their_places() -> None:
    document = read("a: 1\nsteps:\n  - send:\n      to: x\n  - {stop: y}\n")
    assert place(document, "a") == (1, 4)
    assert place(document, "a", key=True) == (1, 1)
    assert place(document, "steps", 0, "send", "to") == (4, 11)
    assert place(document, "steps", 0, "send", "to", key=True) == (4, 7)
    assert place(document, "steps", 1, "stop") == (5, 12)


def test_what_is_not_there_has_the_place_around_it() -> None:
    document = read("steps:\n  - send:\n      to: x\n")
    assert place(document, "steps", 0, "send", "text") == (3, 7)
    assert place(document, "nothing", "at", "all") == (1, 1)
    assert place(document, "steps", 7) == (2, 3)


def test_paths_read_as_people_write_them() -> None:
    document = read("triggers: {cron: x}\nsteps:\n  - to: [a, b]\n    log: x\n")
    assert document.show(("steps", 0, "to", 1)) == "steps[0].to[1]"
    assert document.show(("triggers", 0, "cron")) == "triggers.cron"
    assert document.show(("steps", 0, "log", "text")) == "steps[0].log"
    assert document.show(("steps", 0, "missing")) == "steps[0].missing"
    assert document.show(()) == ""


BLOCKS = {
    "literal": "steps:\n  - send:\n      text: |\n        Merhaba {{ one }},\n\n          {{ two }}\n        {{ three }}\n",
    "literal, stripped": "text: |-\n  {{ one }}\n  a {{ two }}\n  {{ three }}",
    "literal, indented deeper": "text: |2\n     {{ one }}\n  a {{ two }}\n  {{ three }}\n",
    "literal, blank lines first": "text: |\n\n\n  {{ one }}\n  a {{ two }}\n  {{ three }}\n",
    "literal, comment at the bar": "text: | # hello\n  {{ one }}\n  a {{ two }}\n  {{ three }}\n",
    "folded": "text: >\n  {{ one }} goes\n  on {{ two }}\n\n  and {{ three }}\n",
    "folded, stripped": "text: >-\n\n  {{ one }}\n  on {{ two }}\n\n\n  and {{ three }}\n",
    "double quotes": 'text: "a \\"q\\" {{ one }} \\u00e7 {{ two }} \\n{{ three }}"\n',
    "double quotes over lines": 'text: "{{ one }} x\n   y {{ two }} \\\n   z\n\n   {{ three }}"\n',
    "single quotes": "text: 'it''s {{ one }} ''{{ two }}'' {{ three }}'\n",
    "single quotes over lines": "text: 'it''s {{ one }}\n    and {{ two }}\n\n    {{ three }}'\n",
    "plain": "text: say {{ one }} and {{ two }} and {{ three }}\n",
    "plain over lines": "text: say {{ one }}\n   and {{ two }}\n\n   and {{ three }}\n",
    "with letters of two bytes": "text: |\n  çğışöü {{ one }}\n  😀 {{ two }}\n  {{ three }}\n",
    "windows line ends": "text: |\r\n  a {{ one }}\r\n  b {{ two }}\r\n  {{ three }}\r\n",
}


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS.keys())
@pytest.mark.parametrize("word", ["one", "two", "three"])
def test_a_place_inside_a_text_is_a_place_in_the_file(text: str, word: str) -> None:
    document = read(text)
    path: tuple[str | int, ...] = ("text",) if "text" in document.value else ("steps", 0, "send", "text")
    value = document.value
    for part in path:
        value = value[part]
    assert found_at(document, text, value, word, *path) == word


def test_a_text_in_a_list_has_its_own_lines() -> None:
    text = 'to:\n  - "{{ one }}"\n  - |\n    a\n    {{ two }}\n'
    document = read(text)
    assert found_at(document, text, document.value["to"][0], "one", "to", 0) == "one"
    assert found_at(document, text, document.value["to"][1], "two", "to", 1) == "two"


@given(st.text("ab '\"\n\\{}", max_size=30), st.integers(-2, 40), st.integers(-2, 40))
def test_no_place_makes_the_mapping_fail(value: str, line: int, column: int) -> None:
    import json

    for text in (
        f"a: {json.dumps(value)}\n",
        "a: |\n  " + value.replace("\n", "\n  "),
        "a: >\n  " + value.replace("\n", "\n  "),
    ):
        document, _ = read_document(text, "f.yaml")
        if document is not None and isinstance(document.value.get("a"), str):
            at = document.inside(("a",), document.value["a"], line, column)
            assert at.line >= 1
            assert at.column >= 1
