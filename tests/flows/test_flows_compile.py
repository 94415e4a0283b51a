import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import (
    AfterFile,
    CatchUp,
    ColumnType,
    CronTrigger,
    FileTrigger,
    Flow,
    ForEachStep,
    IfStep,
    LogStep,
    Scheme,
    SendStep,
    SetStep,
    StopStep,
    TableFormat,
    WebhookTrigger,
)
from conwp_bot.flows.region import region_of_locale
from conwp_bot.flows.render import RenderContext, make_scope
from conwp_bot.model.budget import Limit
from conwp_bot.model.delivery import DeliveryClass, OnUnknown, OverLimit, policy_for

ISTANBUL = ZoneInfo("Europe/Istanbul")
DEFAULTS = FlowDefaults(ISTANBUL, "tr_TR", frozenset({"default", "shop"}))
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def built(text: str, defaults: FlowDefaults = DEFAULTS) -> Flow:
    flow, problems = build_flow("shop/test", text, "flows/shop/test.yaml", defaults)
    assert problems == []
    assert flow is not None
    return flow


def scope(**values: Any) -> dict[str, Any]:
    return make_scope(values, RenderContext("tr_TR", ISTANBUL, NOW))


INVOICES = """
description: Remind customers the day before an invoice is due
timezone: Europe/Istanbul             # default: the config's
triggers:
  - file: inbox/invoices-*.csv        # a file dropped there starts a run
    columns: {phone: phone, name: text, due: date, total: number}
steps:
  - for_each: event.rows
    as: invoice
    steps:
      - when: invoice.due == today() + days(1)
        send:
          to: "{{ invoice.phone }}"
          text: |
            Merhaba {{ invoice.name }}, {{ invoice.due | date("d MMMM") }} vadeli
            {{ invoice.total | money("TRY") }} tutarındaki faturanızı hatırlatırız.
delivery: {class: normal, limit: 200/hour, expires: 24h}
"""


def test_the_flow_of_the_design_builds_and_renders() -> None:
    flow = built(INVOICES)
    assert flow.triggers == (
        FileTrigger(
            "file",
            "inbox/invoices-*.csv",
            TableFormat.CSV,
            columns={
                "phone": ColumnType.PHONE,
                "name": ColumnType.TEXT,
                "due": ColumnType.DATE,
                "total": ColumnType.NUMBER,
            },
        ),
    )
    assert list(flow.blocks) == ["steps", "steps[0].steps"]
    (loop,) = flow.blocks["steps"]
    assert isinstance(loop, ForEachStep)
    assert (loop.address, loop.item_name, loop.block, loop.items.source) == (
        "steps[0]",
        "invoice",
        "steps[0].steps",
        "event.rows",
    )
    (send,) = flow.blocks["steps[0].steps"]
    assert isinstance(send, SendStep)
    assert (send.address, send.kind, send.media) == ("steps[0].steps[0]", "text", None)
    seen = scope(invoice={"phone": "905551234567", "name": "Ayşe", "due": date(2026, 11, 23), "total": 1234.5})
    assert send.when is not None
    assert send.when.holds(seen)
    assert send.to[0].render(seen) == "905551234567"
    assert send.text.render(seen).startswith("Merhaba Ayşe, 23 Kasım vadeli\n₺1.234,50 tutarındaki")
    assert flow.delivery == policy_for(limit=Limit(200, timedelta(hours=1)))


def test_a_flow_without_triggers_is_fired_by_hand() -> None:
    flow = built("steps:\n  - log: hello\n")
    assert flow.triggers == ()
    assert (flow.timezone, flow.locale, flow.description, flow.when) == (ISTANBUL, "tr_TR", "", None)
    assert flow.delivery == policy_for()


def test_every_kind_of_step_has_its_address_and_blocks() -> None:
    flow = built("""
steps:
  - id: first
    name: Say so
    log: {text: "{{ event.kind }}", level: warning}
  - if: event.payload.vip
    then:
      - set: {n: 1, twice: "{{ event.payload.n * 2 }}", names: ["{{ event.kind }}", 0555]}
      - for_each: vars.names
        steps:
          - log: "{{ item }}"
    else:
      - stop: enough
  - stop:
  - send: {to: [0555 123 45 67, "{{ vars.names }}"], text: "x", media: "https://example.com/a.pdf?x=1"}
""")
    assert list(flow.blocks) == ["steps", "steps[1].then", "steps[1].then[1].steps", "steps[1].else"]
    log, choice, stop, send = flow.blocks["steps"]
    assert isinstance(log, LogStep)
    assert (log.id, log.name, log.level, log.address) == ("first", "Say so", "warning", "steps[0]")
    assert isinstance(choice, IfStep)
    assert (choice.then, choice.otherwise) == ("steps[1].then", "steps[1].else")
    assert isinstance(stop, StopStep)
    assert stop.reason is None
    assert isinstance(send, SendStep)
    assert (len(send.to), send.kind) == (2, "document")
    assign, loop = flow.blocks["steps[1].then"]
    assert isinstance(assign, SetStep)
    seen = scope(event={"kind": "manual", "payload": {"n": 21}})
    assert {name: value.evaluate(seen) for name, value in assign.values.items()} == {
        "n": 1,
        "twice": 42,
        "names": ["manual", "0555"],
    }
    assert isinstance(loop, ForEachStep)
    assert loop.item_name == "item"


def test_triggers_take_their_words_and_defaults() -> None:
    flow = built("""
timezone: Europe/Berlin
triggers:
  - cron: "0  9 * *   mon-fri"
  - cron: "@daily"
    timezone: UTC
    catch_up: all
    within: 6h
    spread: 5m
  - id: cron-3
    cron: "0 1 * * *"
  - cron: "0 2 * * *"
  - webhook: orders
    secret: ${ORDERS}
    key: event.payload.id
  - webhook: open
    scheme: none
    methods: [POST, PUT]
  - id: dropped
    file: /srv/in/*
    format: csv
    encoding: windows-1254
    delimiter: tab
    settle: 10s
    then: delete
  - file: inbox/a.ndjson
steps:
  - log: x
""")
    berlin = ZoneInfo("Europe/Berlin")
    first, second, third, fourth, orders, opened, dropped, lines = flow.triggers
    assert first == CronTrigger("cron", "0 9 * * mon-fri", berlin)
    assert second == CronTrigger(
        "cron-2", "0 0 * * *", ZoneInfo("UTC"), CatchUp.ALL, timedelta(hours=6), timedelta(minutes=5)
    )
    assert [third.id, fourth.id] == ["cron-3", "cron-4"]
    assert isinstance(orders, WebhookTrigger)
    assert (orders.id, orders.name, orders.scheme, orders.secret, orders.methods) == (
        "webhook",
        "orders",
        Scheme.STANDARD,
        "${ORDERS}",
        ("POST",),
    )
    assert orders.key is not None
    assert orders.key.evaluate(scope(event={"payload": {"id": 7}})) == 7
    assert opened == WebhookTrigger("webhook-2", "open", Scheme.NONE, None, None, ("POST", "PUT"))
    assert dropped == FileTrigger(
        "dropped", "/srv/in/*", TableFormat.CSV, "cp1254", "\t", {}, timedelta(seconds=10), AfterFile.DELETE
    )
    assert isinstance(lines, FileTrigger)
    assert lines.format is TableFormat.JSONL


@pytest.mark.parametrize(
    "text",
    [
        'triggers: {cron: "0 9 * * *"}\nsteps:\n  - log: x\n',
        'triggers:\n  cron: "0 9 * * *"\nsteps:\n  - log: x\n',
    ],
)
def test_a_single_trigger_needs_no_list(text: str) -> None:
    assert [trigger.id for trigger in built(text).triggers] == ["cron"]


def test_delivery_takes_its_class_s_defaults() -> None:
    steps = "steps:\n  - log: x\n"
    assert built(steps + "delivery: {class: alert}").delivery == policy_for(DeliveryClass.ALERT)
    assert built(steps + "delivery: {class: campaign}").delivery.on_unknown is OnUnknown.DROP
    policy = built(
        steps
        + "delivery: {class: alert, limit: 5/10s, over_limit: drop, expires: 2h, on_unknown: hold, attempts: 3, account: shop}"
    ).delivery
    assert policy == policy_for(
        DeliveryClass.ALERT,
        limit=Limit(5, timedelta(seconds=10)),
        over_limit=OverLimit.DROP,
        expires=timedelta(hours=2),
        on_unknown=OnUnknown.HOLD,
        attempts=3,
        account="shop",
    )


def test_an_old_version_builds_whatever_the_accounts_are_now() -> None:
    built("steps:\n  - log: x\ndelivery: {account: gone}\n", FlowDefaults(ISTANBUL, "tr_TR", None))


def test_a_config_without_the_default_account_asks_which_one_sends() -> None:
    flow, (problem,) = build_flow(
        "x", "steps:\n  - log: x\n", "f.yaml", FlowDefaults(ISTANBUL, "tr_TR", frozenset({"shop"}))
    )
    assert flow is None
    assert "say which one sends" in problem.message


def test_a_number_without_quotes_is_a_recipient() -> None:
    flow = built("steps:\n  - send: {to: 905551234567, text: 42}\n")
    (send,) = flow.blocks["steps"]
    assert isinstance(send, SendStep)
    assert (send.to[0].render(scope()), send.text.render(scope())) == ("905551234567", "42")


def test_numbers_are_read_in_the_country_of_the_locale() -> None:
    text = 'steps:\n  - send: {to: "0151 23456789", text: x}\n'
    _, problems = build_flow("x", text, "f.yaml", DEFAULTS)
    assert "no valid phone number" in problems[0].message
    built("locale: de_DE\n" + text)


@pytest.mark.parametrize(
    ("locale", "region"),
    [("tr_TR", "TR"), ("tr", "TR"), ("de", "DE"), ("en_GB", "GB"), ("zh_Hans_CN", "CN"), ("xx", "TR")],
)
def test_the_region_of_a_locale(locale: str, region: str) -> None:
    assert region_of_locale(locale) == region


def test_the_hash_changes_with_the_text_and_what_the_config_gives() -> None:
    text = "steps:\n  - log: x\n"
    same = built(text).hash
    assert same == built(text, FlowDefaults(ISTANBUL, "tr_TR", frozenset({"default", "more"}))).hash
    others = [
        built(text + "# more\n").hash,
        built(text, FlowDefaults(ZoneInfo("UTC"), "tr_TR")).hash,
        built(text, FlowDefaults(ISTANBUL, "en_GB")).hash,
    ]
    assert len({same, *others}) == 4
    assert built(text).source == text


def test_inner_loops_see_outer_names_and_siblings_do_not() -> None:
    built("""
steps:
  - for_each: event.payload
    as: a
    steps:
      - for_each: a.items
        as: b
        steps:
          - log: "{{ a.name }} {{ b.name }}"
""")
    _, problems = build_flow(
        "x",
        'steps:\n  - for_each: event.payload\n    as: a\n    steps:\n      - log: x\n  - log: "{{ a }}"\n',
        "f",
        DEFAULTS,
    )
    assert [problem.message for problem in problems] == ['unknown name "a"']


def test_what_a_guard_protects_need_not_exist() -> None:
    built('vars: {a: 1}\nsteps:\n  - log: "{{ vars.b | default(0) }} {% for k in vars.items() %}{{ k }}{% endfor %}"\n')


def test_a_multiline_condition_is_one_expression() -> None:
    flow = built("when: >-\n  event.payload.a\n  and event.payload.b\nsteps:\n  - log: x\n")
    assert flow.when is not None
    assert flow.when.holds(scope(event={"payload": {"a": True, "b": True}}))


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n  - log: |\n      {% raw %}" + "{{ " * 200_000 + "{% endraw %}{{ nothing }}\n",
        "steps:\n  - log: |\n      {{ nothing }}" + "{% " * 200_000,
        "steps:\n  - log: " + "{" * 600_000,
        "steps:\n  - log: '" + "x " * 400_000 + "{{ nothing }}'\n",
        "steps:\n  - log: >\n      " + "x\n      " * 100_000 + "{{ nothing }}\n",
        "steps:\n  - log: '" + "".join(f"{{{{ n{n} }}}}" for n in range(70_000)) + "'\n",
        "steps:\n  - log: '" + "".join(f"{{{{ vars.n{n} }}}}" for n in range(60_000)) + "'\n",
        "vars: {"
        + "".join(f"n{n}: 1, " for n in range(40_000))
        + "}\nsteps:\n"
        + "  - log: '{{ vars.x12 }}'\n" * 10_000,
        '"' + "k" * 1_000_000 + '": 1\n',
        "steps: [" + "{log: a}, " * 30_000 + "]\n",
        "steps:\n  - when: " + "(" * 500_000 + "\n    log: x\n",
        "steps:\n  - when: " + "not " * 200_000 + "x\n    log: x\n",
        "timezone: " + "x" * 1_000_000 + "\nsteps:\n  - log: x\n",
        "steps:\n  - send: {to: " + "5" * 1_000_000 + ", text: x}\n",
        "steps:\n  - send: {to: '" + "5," * 500_000 + "', text: x}\n",
        "delivery: {limit: " + "9" * 1_000_000 + "}\nsteps:\n  - log: x\n",
        "delivery: {expires: " + "1h" * 400_000 + "x}\nsteps:\n  - log: x\n",
        "triggers: {cron: '" + "1," * 400_000 + "1 * * * *'}\nsteps:\n  - log: x\n",
        "triggers: {cron: '" + "x " * 400_000 + "'}\nsteps:\n  - log: x\n",
        "triggers: {file: '" + "a/" * 400_000 + "x.csv'}\nsteps:\n  - log: x\n",
        "locale: " + "a_" * 400_000 + "\nsteps:\n  - log: x\n",
    ],
    ids=lambda text: text[:25].replace("\n", " ") + "…",
)
def test_no_file_of_a_mebibyte_makes_building_hang(text: str) -> None:
    begun = time.monotonic()
    _, problems = build_flow("x", text, "f.yaml", DEFAULTS)
    assert time.monotonic() - begun < 10
    for problem in problems:
        assert len(str(problem)) < 2000
        assert str(problem).isprintable()


SEEDS = [file.read_text(encoding="utf-8") for file in sorted((Path(__file__).parent / "bad").glob("*.yaml"))] + [
    INVOICES
]


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=250, deadline=2000)
def test_no_edit_of_a_flow_makes_building_fail(text: str, data: st.DataObject) -> None:
    """Cut a piece out of a flow, and put something else there: there is a flow, or there are problems with places."""
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 20)))
    pieces = st.sampled_from(
        [
            "",
            "\n",
            "  ",
            "\t",
            "- ",
            ": ",
            "{{",
            "}}",
            "{% for x in",
            "[",
            "]",
            "{",
            "}",
            '"',
            "'",
            "|",
            "*a",
            "&a ",
            "!",
            "#",
            "\0",
            "null",
            "0",
            "é",
        ]
    )
    changed = text[:begin] + data.draw(st.one_of(pieces, st.text(max_size=8))) + text[end:]
    flow, problems = build_flow("x", changed, "f.yaml", DEFAULTS)
    assert flow is not None or problems
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert (
            problem.line
            <= changed.count("\n")
            + changed.count("\r")
            + changed.count("\x85")
            + changed.count("\u2028")
            + changed.count("\u2029")
            + 2
        )
