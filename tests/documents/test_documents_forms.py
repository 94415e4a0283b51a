from datetime import timedelta
from typing import Annotated

import pytest
from pydantic import Field

from conwp_bot.documents.document import Document
from conwp_bot.documents.fields import Duration, FilledLine, LimitText, Line, LocaleName, Zone, duration, word
from conwp_bot.documents.form import Form, Given, validate
from conwp_bot.documents.reader import read_document
from conwp_bot.documents.secrets import SecretKind, SecretSource


class Inner(Form):
    wait: Duration
    colour: Annotated[str, word("red", "green")] = "red"


class Sample(Form):
    planned = frozenset({"tomorrow"})

    title: FilledLine = "none"
    note: Given[Line] = None
    zone: Given[Zone] = None
    locale: Given[LocaleName] = None
    limit: Given[LimitText] = None
    short: Given[Annotated[timedelta, duration(least=timedelta(seconds=1), most=timedelta(hours=1))]] = None
    count: Annotated[int, Field(ge=1, le=9)] = 1
    ready: bool = False
    items: Annotated[list[Inner], Field(min_length=1)] = Field(default_factory=list)
    named: dict[str, Inner] = Field(default_factory=dict)


def read(text: str) -> Document:
    document, problems = read_document(text, "f.yaml")
    assert document is not None
    assert problems == []
    return document


def said(text: str) -> list[str]:
    form, problems = validate(read(text), Sample)
    assert (form is None) == bool(problems)
    return [str(problem).removeprefix("f.yaml:") for problem in problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tittle: x", '1:1: tittle: unknown key "tittle"; did you mean "title"?'),
        ("tomorrow: x", '1:1: tomorrow: unknown key "tomorrow"; tomorrow is not supported yet'),
        ("items:\n  - wiat: 1s\n    wait: 1s", '2:5: items[0].wiat: unknown key "wiat"; did you mean "wait"?'),
        ("named: {a: {wait: 1s, x: 1}}", '1:23: named.a.x: unknown key "x"; known here: wait, colour'),
        ("items: [{}]", '1:9: items[0].wait: the key "wait" is missing'),
        ("items: []", "1:8: items: at least one is needed"),
        ("items: 5", "1:8: items: expected a list (- …), not the number 5"),
        ("items: [x]", '1:9: items[0]: expected a mapping (key: value), not the text "x"'),
        ("named: [x]", "1:8: named: expected a mapping (key: value), not a list"),
        ("note:", "1:6: note: nothing is written here; give it a value, or remove the key"),
        ("note: true", '1:7: note: expected text, not true; quote it: "true"'),
        ('title: " "', "1:8: title: expected text, but it is empty"),
        ("title: {a: b}", '1:8: title: expected text, not a mapping; a value that begins with {{ needs quotes: "{{ … }}"'),
        ("count: 0", "1:8: count: must be 1 or more"),
        ("count: 10", "1:8: count: must be 9 or less"),
        ("count: many", '1:8: count: expected a whole number, not the text "many"'),
        ("count: 1.5", "1:8: count: expected a whole number, not the number 1.5"),
        ("count: true", "1:8: count: expected a whole number, not true or false"),
        ("ready: yes", '1:8: ready: expected true or false, not the text "yes"'),
        ("items: [{wait: 30}]", "1:16: items[0].wait: expected a length of time, not the number 30; e.g. 30s, 5m, 6h, 7d, 1h30m"),
        ("items: [{wait: soon}]", '1:16: items[0].wait: expected a length of time, not "soon"; e.g. 30s, 5m, 6h, 7d, 1h30m'),
        ("short: 2h", "1:8: short: must be 1h or shorter"),
        ("short: 1ms", "1:8: short: must be 1s or longer"),
        ("limit: fast", '1:8: limit: expected a limit, not "fast"; a count and a span, e.g. 1000/hour, 20/minute, 5/10s'),
        ("limit: 0/hour", "1:8: limit: a limit of 0 would never send; use 1 or more"),
        ("zone: Europe/Istambul", '1:7: zone: unknown time zone "Europe/Istambul"; did you mean "Europe/Istanbul"?'),
        ("zone: istanbul", '1:7: zone: unknown time zone "istanbul"; did you mean "Europe/Istanbul"?'),
        ("zone: ../../etc/passwd", '1:7: zone: unknown time zone "../../etc/passwd"; write it as Continent/City, e.g. "Europe/Istanbul"'),
        ("locale: tr_TT", '1:9: locale: unknown locale "tr_TT"; did you mean "tr_TR"?'),
        ("items: [{wait: 1s, colour: rde}]", '1:28: items[0].colour: unknown word "rde"; did you mean "red"?'),
        ("items: [{wait: 1s, colour: x}]", '1:28: items[0].colour: unknown word "x"; one of: red, green'),
        ("", "1:1: the file is empty"),
        ("- a", "1:1: a mapping (key: value) is expected, not a list"),
    ],
)  # fmt: skip
def test_each_problem_is_a_plain_sentence_at_its_place(text: str, expected: str) -> None:
    assert said(text) == [expected]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = said("count: 0\nitems:\n  - wait: x\n    colour: y\ntittle: z\nzone: Mars\n")
    assert [int(each.split(":")[0]) for each in found] == [1, 3, 4, 5, 6]


def test_a_number_written_as_text_stays_as_it_was_typed() -> None:
    form, _ = validate(read("title: 905551234567\nnote: 0555"), Sample)
    assert form is not None
    assert (form.title, form.note) == ("905551234567", "0555")


def test_values_are_what_their_words_mean() -> None:
    form, _ = validate(read("zone: Europe/Istanbul\nlocale: tr-TR\nlimit: 5/10s\nshort: 1m30s"), Sample)
    assert form is not None
    assert (str(form.zone), form.locale, str(form.limit), form.short) == (
        "Europe/Istanbul",
        "tr_TR",
        "5/10s",
        timedelta(seconds=90),
    )


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("${KEY}", SecretKind.VARIABLE, "KEY"),
        ("file:/etc/key", SecretKind.FILE, "/etc/key"),
        ("file: keys/a", SecretKind.FILE, "keys/a"),
        ("credential:conwp-key", SecretKind.CREDENTIAL, "conwp-key"),
        ("abc", SecretKind.CLEAR, "abc"),
    ],
)
def test_a_secret_is_named_by_its_place(text: str, kind: SecretKind, name: str) -> None:
    assert SecretSource.parse(text) == SecretSource(kind, name)


@pytest.mark.parametrize(
    "text",
    ["a${KEY}", "${1X}", "${}", "${A}${B}", "file:", "credential:", "credential:../../etc/passwd", "credential:a/b"],
)
def test_a_broken_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        SecretSource.parse(text)
