"""What templates see of an event and a run."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from runs_kit import NOW, drive, event, flow

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render import compile_expression
from conwp_bot.model.event import EventKind
from conwp_bot.runs.scope import key_scope


def said(text: str, *, kind: EventKind = EventKind.WEBHOOK, **data: object) -> str:
    outcome = drive(flow(f"description: Try\nsteps: [{{log: {text!r}}}]"), event(kind, **data))
    assert outcome.failure is None, outcome.failure
    return outcome.logs[0].text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ event.kind }} {{ event.trigger }} {{ event.id }}", "webhook t ev_1"),
        ("{{ event.payload.a }} {{ event.headers['x-a'] }} {{ event.query.b }}", "1 h q"),
        ("{{ flow.id }} {{ flow.description }} {{ run.id }}", "demo Try run_1"),
        ("{{ event.occurred_at.hour }} {{ run.started_at.hour }} {{ event.file.modified.hour }}", "11 12 3"),
        ("{{ event.scheduled_at }}", "2026-01-01 03:00:00+03:00"),
        ("{{ now() == run.started_at }} {{ today().isoformat() }}", "true 2026-05-04"),
    ],
)
def test_templates_see_the_event_and_the_run_in_the_flows_zone(template: str, text: str) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    data = {"payload": {"a": 1}, "headers": {"x-a": "h"}, "query": {"b": "q"}}
    assert said(template, **data, scheduled_at=midnight, file={"name": "a", "modified": midnight}) == text


def test_numbers_without_a_country_are_of_the_flows_locale() -> None:
    steps = 'steps: [{send: {to: "{{ event.payload }}", text: x}}]'
    german = drive(flow("locale: de_DE\n" + steps), event(payload="01512 3456789"))
    assert german.messages[0].recipient == "4915123456789"


def test_a_flow_fired_by_hand_sees_its_time_as_its_slot() -> None:
    assert said("{{ event.scheduled_at == event.occurred_at }}", kind=EventKind.MANUAL) == "true"


def test_rows_can_only_be_walked() -> None:
    outcome = drive(flow('steps: [{log: "{{ event.rows | length }}"}]'), event(EventKind.FILE))
    assert outcome.failure is not None
    assert outcome.failure.startswith("steps[0].log")


def test_a_key_sees_the_event_and_the_vars() -> None:
    shop = flow('vars: {shop: "{{ event.payload.shop }}"}\nsteps: [{log: x}]')
    key = compile_expression("vars.shop ~ '-' ~ event.payload.order", field="key")
    assert key.evaluate(key_scope(shop, event(payload={"shop": "a", "order": 7}))) == "a-7"
    with pytest.raises(RenderFailed):
        key_scope(shop, event(payload={}))


def test_the_time_of_a_run_is_its_start_however_long_it_takes() -> None:
    text = flow('steps: [{for_each: "[1, 2]", as: x, steps: [{log: "{{ now() }}"}]}]')
    assert {line.text for line in drive(text, replace(event(), occurred_at=NOW)).logs} == {"2026-05-04 12:00:00+03:00"}
