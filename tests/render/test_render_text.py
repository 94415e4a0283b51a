"""Texts, values and conditions: what they give, and what they say when they cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from render_kit import ISTANBUL, NOW, TURKISH, scope, text, value

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render import (
    GLOBAL_NAMES,
    RenderContext,
    compile_condition,
    compile_expression,
    compile_text,
    compile_value,
    make_scope,
    names_used,
    paths_used,
)
from conwp_bot.flows.render.code import code_of

REMINDER = """\
Merhaba {{ invoice.name }}, {{ invoice.due | date("d MMMM") }} vadeli
{{ invoice.total | money("TRY") }} tutarındaki faturanızı hatırlatırız.
"""


def failure(source: str, **values: Any) -> str:
    with pytest.raises(RenderFailed) as caught:
        text(source, **values)
    return str(caught.value).removeprefix("steps[0].send.text: ")


def test_the_designs_example_renders() -> None:
    assert text(REMINDER) == "Merhaba Ayşe, 23 Kasım vadeli\n₺1.234,50 tutarındaki faturanızı hatırlatırız."
    assert compile_condition("invoice.due == today() + days(1)", field="when").holds(scope())


def test_a_text_without_braces_is_returned_as_it_is() -> None:
    assert compile_text("100% \\n 'a' %}\n", field="text").render({}) == "100% \\n 'a' %}\n"


def test_nothing_is_compiled_before_the_first_rendering() -> None:
    before = code_of.cache_info()
    source = "laziness {{ event.payload.name }}"
    compiled = compile_text(source, field="text")
    compile_condition("event.payload.laziness == 1", field="when")
    compile_value({"a": [source, "{{ event.laziness }}"]}, field="set")
    assert names_used(compiled) == {"event"}
    assert code_of.cache_info() == before
    compiled.render(scope())
    assert code_of.cache_info().misses == before.misses + 1
    compile_text(source, field="other").render(scope())  # another flow, the same text
    assert code_of.cache_info().misses == before.misses + 1


# -- undefined


def test_a_missing_key_is_named_with_its_place_and_the_nearest_key() -> None:
    with pytest.raises(
        RenderFailed, match=r'^steps\[0\]\.send\.text: event\.payload has no "nmae"; did you mean "name"\?$'
    ):
        text("{{ event.payload.nmae }}")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("{{ evnt.payload }}", 'there is no "evnt" here; did you mean "event"?'),
        ("{{ invoice.x }}", 'invoice has no "x"; there is: due, name, phone, total'),
        ("{{ event.payload['nmae'] }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae.deeper.still }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{% if event.payload.nmae %}{% endif %}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{% for x in event.payload.itms %}{% endfor %}", 'event.payload has no "itms"; did you mean "items"?'),
        ("{{ event.payload.nmae ~ 'a' }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae == 'a' }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae is none }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae | upper }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae or 'a' }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.nmae() }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ -event.payload.nmae }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ [event.payload.nmae] }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ {'a': event.payload.nmae} }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ 'a' if event.payload.nmae else 'b' }}", 'event.payload has no "nmae"; did you mean "name"?'),
        ("{{ event.payload.items[7].title }}", "event.payload.items has no element 7: it has 2 (the first is 0)"),
        ("{{ event.payload.items.title }}", "event.payload.items is a list and has no"),
        ("{{ event.payload.empty.x }}", "event.payload.empty is none, so it has no"),
        (
            "{{ event.payload.empty }}",
            'event.payload.empty is none, which is no text; write `event.payload.empty | default("…")`',
        ),
        ("{{ [] | first }}", "there is no first element: the list is empty"),
        ("{{ event.payload.items | map(attribute='titel') | join }}", 'the item has no "titel"; did you mean "title"?'),
        ("{{ event.payload.name.uper() }}", 'event.payload.name is a text and has no "uper"; did you mean "upper"?'),
        ("{{ now().yaer }}", 'is a date with a time and has no "yaer"; did you mean "year"?'),
        ("Line\n\n{{ event.payload.nmae }}", 'did you mean "name"? (line 3 of the text)'),
    ],
)
def test_what_is_missing_is_said(source: str, cause: str) -> None:
    assert cause in failure(source)


def test_missing_things_may_be_asked_about() -> None:
    assert text("{{ event.payload.nmae is defined }} {{ event.payload.name is defined }}") == "false true"
    assert (
        text("{{ event.payload.a.b.c | default('-') }}{{ event.payload.empty | default('-') }}{{ nope | d }}") == "--"
    )
    assert text("{{ '' | default('-') }}{{ '' | default('-', true) }}{{ event.payload.empty.x | d('+') }}") == "-+"
    assert text("{{ [] | first | default('none yet') }}") == "none yet"


def test_an_error_never_shows_much_of_a_value() -> None:
    cause = failure("{{ number(x) }}", x="9x" * 5000)
    assert len(cause) < 100
    assert "\n" not in failure("{{ number(x) }}", x="a\nb\x1b[0m")
    assert len(failure("{{ x.foo }}", x={f"key{'k' * 100}{n}": 1 for n in range(5000)})) < 600


# -- reading data


def test_a_payloads_own_keys_come_before_methods() -> None:
    assert (
        text("{{ event.payload.items | length }} {{ event.payload.keys }} {{ event.payload['items'][0].title }}")
        == "2 own Çay"
    )
    assert (
        text("{{ invoice.keys() | join(',') }} {{ {'a': 1}.items() }} {{ invoice.get('x', 'no') }}")
        == 'name,due,total,phone [["a", 1]] no'
    )
    assert text("{{ event.payload._id }}") == "abc"


def test_values_are_written_as_people_and_json_write_them() -> None:
    assert text(
        "{{ true }} {{ 1.5 }} {{ invoice.total }} {{ invoice.due }} {{ [1, 'a', none, invoice.due] }} {{ {'a': (1, 2)} }}"
    ) == ('true 1.5 1234.50 2026-11-23 [1, "a", null, "2026-11-23"] {"a": [1, 2]}')
    assert text("a{{ 'x' if false }}b") == "ab"
    assert text("{{ now() }}") == "2026-11-22 09:30:00+03:00"


def test_half_an_emoji_does_not_stop_a_message() -> None:
    assert text("{{ x }}", x="ok \ud83d").encode() == "ok \ufffd".encode()
    assert text("{{ x }}{{ y }}", x="\ud83d", y="\ude00") == "😀"


def test_the_unknown_object_passes_only_as_a_whole() -> None:
    rows = object()
    names = scope()
    names["event"] = {"rows": rows}
    assert compile_expression("event.rows", field="for_each").evaluate(names) is rows
    with pytest.raises(RenderFailed, match="cannot stand in a list"):
        compile_expression("[event.rows]", field="for_each").evaluate(names)
    with pytest.raises(RenderFailed, match="a loop takes a list"):
        compile_text("{% for r in event.rows %}{% endfor %}", field="text").render(names)


# -- statements


def test_lines_that_hold_only_a_tag_leave_no_line() -> None:
    source = "Hi\n{% if event.payload.vip %}\n  thanks\n  {%- endif %}\n{# note #}\n  {% for i in [1, 2] %}\n- {{ i }}\n  {% endfor %}\nBye"
    assert text(source) == "Hi\n  thanks\n- 1\n- 2\nBye"


def test_a_tag_at_the_end_of_a_line_of_text_keeps_its_line_end() -> None:
    assert (
        text("Hello{% if event.payload.vip %} {{ event.payload.name }}{% endif %}\nYour order")
        == "Hello Ayşe\nYour order"
    )


def test_a_raw_block_is_left_alone() -> None:
    assert text("{% raw %}\n{{ x }}\n{% endraw %}") == "\n{{ x }}\n"


def test_loops_know_their_place() -> None:
    source = "{% for i in event.payload.items %}{{ loop.index }}/{{ loop.length }} {{ i.title }}{{ ', ' if not loop.last }}{% endfor %}"
    assert text(source) == "1/2 Çay, 2/2 Şeker"
    assert text("{% for i in [] %}{{ i }}{% else %}-{% endfor %}") == "-"
    assert text("{% for i in [1, 2, 3] if i is odd %}{{ loop.cycle('a', 'b') }}{{ i }}{% endfor %}") == "a1b3"
    assert text("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}") == "a=1"
    assert "a loop takes a list, not a text" in failure("{% for c in event.payload.name %}{% endfor %}")


def test_names_are_set_with_jinjas_scoping() -> None:
    assert text("{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}") == "2"
    assert text("{% set a = 1 %}{% for i in [1] %}{% set a = 2 %}{% endfor %}{{ a }}") == "1"
    assert text("{% set a %}<{{ 1 }}>{% endset %}{{ a }}{% with b = a %}{{ b | length }}{% endwith %}") == "<1>3"
    assert text("{% set a | tr_upper %}iş{% endset %}{{ a }}{% filter replace('x', 'y') %}xx{% endfilter %}") == "İŞyy"


# -- operators


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0.1 + 0.2", 0.3),
        ("19.99 * 3", 59.97),
        ("10 / 2", 5),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("2 ** 10", 1024),
        ("invoice.total * 1.2", Decimal("1481.400")),
        ("invoice.total == 1234.5", True),
        ("invoice.total > 1000", True),
        ("1 < 2 < 3", True),
        ("1 < 2 > 5", False),
        ("'a' ~ 1 ~ true", "a1true"),
        ("'a' + 'b'", "ab"),
        ("'ab' * 2", "abab"),
        ("[1] + [2]", [1, 2]),
        ("(1, 2)", [1, 2]),
        ("range(3)", [0, 1, 2]),
        ("'a' in 'cat'", True),
        ("2 in [1, 2]", True),
        ("'name' in event.payload", True),
        ("3 not in [1]", True),
        ("[1, 2] == [1, 2]", True),
        ("'abc'[::-1]", "cba"),
        ("'abc'[-1]", "c"),
        ("[1, 2, 3][1:]", [2, 3]),
        ("'a,b'.split(',')", ["a", "b"]),
        ("'ab'.startswith('a') and not 'ab'.isdigit()", True),
        ("invoice.due - today()", timedelta(days=1)),
        ("(invoice.due - today()).days", 1),
        ("today() + weeks(1)", date(2026, 11, 29)),
        ("today().replace(day=1)", date(2026, 11, 1)),
        ("now().hour", 9),
        ("now().date() == today()", True),
        ("now() - event.scheduled_at", timedelta(0)),
        ("datetime(event.payload.at) - now() < minutes(1)", True),
        ("date('22.11.2026') == today()", True),
        ("date('2026-11-22T23:30:00Z')", date(2026, 11, 23)),
        ("number('1.234,56')", Decimal("1234.56")),
        ("2 * hours(1)", timedelta(hours=2)),
        ("none", None),
        ("'x' if false", None),
    ],
)
def test_expressions_give_typed_values(source: str, expected: object) -> None:
    found = value(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("'5' + 3", "to join them write ~, to compute read the number with number(…)"),
        ("'5' < 3", "read the number with number(…)"),
        ("none + 1", "ask `is none` first"),
        ("'%s' % 1", "% does not format texts here"),
        ("invoice.due == now()", "a date is never == a date with a time"),
        ("invoice.due < now()", "a date is never < a date with a time"),
        ("invoice.due == '2026-11-23'", "read the date from the text with date(…)"),
        ("today() + hours(5)", "a date moves by whole days"),
        ("today() + 1", "+ does not go with a date and a number"),
        ("1 / 0", "division by zero"),
        ("invoice.total / 0", "division by zero"),
        ("invoice.total % 0", "division by zero"),
        ("(-8) ** 0.5", "there is no such number"),
        ("-'a'", "- goes before a number"),
        ("1 in 5", "`in` takes a list"),
        ("now", "the expression gives a function; call it"),
        ("[1]['a':]", "[a:b] takes whole numbers"),
        ("event.payload.name.split(1)", "split(): "),
        ("[1, 'a'] | sort", "not all values are of one kind"),
        ("['1'] | sum", "sum takes numbers, not texts"),
        ("datetime('2026-11-22T09:00') == x", "a time without a zone"),
    ],
)
def test_what_does_not_go_together_is_refused_with_advice(source: str, cause: str) -> None:
    with pytest.raises(RenderFailed, match=r"^when: ") as caught:
        value(source, x=datetime(2026, 1, 1))  # noqa: DTZ001 - what a payload cannot bring, a scope could
    assert cause in str(caught.value)


def test_hours_pass_and_days_keep_the_wall_clock_when_clocks_change() -> None:
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    before = RenderContext(
        "de_DE", berlin, datetime(2026, 10, 24, 10, 0, tzinfo=UTC), "DE"
    )  # the night before the change
    names = make_scope({}, before)
    day = compile_expression("now() + days(1)", field="x").evaluate(names)
    hours = compile_expression("now() + hours(24)", field="x").evaluate(names)
    assert day.isoformat() == "2026-10-25T12:00:00+01:00"
    assert hours.isoformat() == "2026-10-25T12:00:00+01:00"  # a whole day, however it is written
    assert compile_expression("now() + hours(23)", field="x").evaluate(names).isoformat() == "2026-10-25T10:00:00+01:00"
    assert compile_expression("(now() + days(1)) - now()", field="x").evaluate(names) == timedelta(hours=25)


# -- conditions


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (
            "event.payload.status",
            'gives the text "PAID", and a condition must give true or false; compare it, e.g. `event.payload.status == "PAID"`',
        ),
        (
            "event.payload.items",
            "gives a list, and a condition must give true or false; write `event.payload.items | length > 0`",
        ),
        ("event.payload.empty", "write `event.payload.empty is not none`"),
        ("1", "gives the number 1"),
        ("event.payload.vip and 'yes'", 'gives the text "yes"'),
        ("event.payload.nmae", 'did you mean "name"?'),
    ],
)
def test_a_condition_gives_true_or_false_and_nothing_else(source: str, cause: str) -> None:
    with pytest.raises(RenderFailed, match=r"^steps\[1\]\.when: ") as caught:
        compile_condition(source, field="steps[1].when").holds(scope())
    assert cause in str(caught.value)


def test_conditions_hold() -> None:
    for source in (
        "event.payload.vip",
        "event.payload.status | lower == 'paid'",
        "not false",
        "event.payload.nmae is undefined",
    ):
        assert compile_condition(source, field="when").holds(scope()) is True


# -- values


def test_a_value_keeps_its_type_when_it_is_one_expression() -> None:
    found = compile_value(
        {
            "one": "{{ invoice.total * 2 }}",
            "spaced": "  {{ [1, 2] }}\n",
            "text": "{{ 1 }} ",
            "two": "{{ 1 }}{{ 2 }}",
            "quoted": "{{ '}}' }}",
            "list": ["{{ invoice.due }}", 5, None, True, "plain {x}"],
            "deep": {"a": {"b": "n={{ 1 }}"}},
            1: 2.5,
        },
        field="set",
    )
    assert found.evaluate(scope()) == {
        "one": Decimal("2469.00"),
        "spaced": [1, 2],
        "text": 1,
        "two": "12",
        "quoted": "}}",
        "list": [date(2026, 11, 23), 5, None, True, "plain {x}"],
        "deep": {"a": {"b": "n=1"}},
        "1": 2.5,
    }
    assert names_used(found) == {"invoice"}


def test_a_failing_element_is_named() -> None:
    with pytest.raises(RenderFailed, match=r'^vars\.a\[1\]\.b: event\.payload has no "nmae"'):
        compile_value({"a": [1, {"b": "{{ event.payload.nmae }}"}]}, field="vars").evaluate(scope())


# -- names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{{ a.b }}{{ c['d'] }}{{ e(f) }}", {"a", "c", "e", "f"}),
        ("{% for x in xs %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}", {"xs", "y"}),
        ("{% for x in x %}{{ x }}{% else %}{{ x }}{% endfor %}", {"x"}),
        ("{{ a }}{% set a = b %}{{ a }}", {"a", "b"}),
        ("{% set a %}{{ c }}{% endset %}{{ a }}", {"c"}),
        ("{% with a = b, c = a %}{{ a }}{{ c }}{% endwith %}", {"a", "b"}),
        ("{{ a | default(b) }}{{ c is defined }}", {"a", "b", "c"}),
        ("{{ now() + days(n) }}", {"now", "days", "n"}),
        ("text", set()),
    ],
)
def test_names_are_known_before_anything_runs(source: str, names: set[str]) -> None:
    assert names_used(compile_text(source, field="text")) == names


def test_paths_that_must_exist_are_known_before_anything_runs() -> None:
    source = (
        "{{ event.payload.name }}{{ event.payload['b'].c }}{{ vars.x | default('') }}"
        "{% if steps.a.b is defined %}{% endif %}{{ invoice.get('x') }}"
    )
    assert paths_used(compile_text(source, field="text")) == {
        ("event", "payload", "name"),
        ("event", "payload", "b", "c"),
        ("invoice",),
    }


def test_the_functions_names_are_known() -> None:
    assert {"now", "today", "days", "hours", "minutes", "weeks", "date", "datetime", "number", "range"} == GLOBAL_NAMES


def test_a_scopes_name_hides_a_function() -> None:
    assert text("{{ date }}", date="mine") == "mine"


def test_now_is_the_runs_instant_in_the_flows_zone() -> None:
    assert value("now()") == NOW
    assert value("now()").tzinfo is ISTANBUL
    late = RenderContext("tr_TR", ISTANBUL, datetime(2026, 11, 22, 22, 0, tzinfo=UTC))
    assert value("today()", late) == date(2026, 11, 23)
    assert TURKISH.region == "TR"
