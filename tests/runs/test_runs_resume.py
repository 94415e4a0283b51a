"""Wherever a run is cut, and whether it goes on in memory or from the store: the same messages, rejects, trace and logs."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs_kit import Outcome, drive, event, flow, rows_from

from conwp_bot.model.event import EventKind
from conwp_bot.runs.happening import Bounds

FLOW = flow("""
vars: {count: 0, start: "{{ event.occurred_at }}", last: "nobody"}
steps:
- id: hello
  send: {to: "0555 000 00 00", text: "start {{ vars.start }}"}
- id: people
  for_each: event.rows
  as: person
  steps:
  - when: person.n % 3 != 0
    set: {count: "{{ vars.count + 1 }}", last: "{{ person.name }}"}
  - if: person.n % 2 == 0
    then:
    - send: {to: "{{ person.phone }}", text: "even {{ person.name }} {{ vars.count }}"}
    else:
    - for_each: person.tags
      as: tag
      steps:
      - for_each: "{'a': 1, 'b': 2}"
        as: pair
        steps:
        - send: {to: "{{ person.phone }}", text: "{{ tag.name }} {{ pair.key }} of {{ vars.last }}"}
      - log: "{{ tag.name }}"
- for_each: "[[1, 2], [3]]"
  as: list
  steps:
  - for_each: list
    as: one
    steps:
    - set: {count: "{{ vars.count + one }}"}
    - when: vars.count > 5
      send: {to: "0555 000 00 0{{ one }}", text: "{{ vars.count }} at {{ vars.start.hour }}"}
- log: "{{ steps.people['items'] }} {{ steps.hello.messages }} {{ vars.last }}"
""")

tags = st.lists(st.one_of(st.just({}), st.fixed_dictionaries({"name": st.sampled_from(["x", "y", " "])})), max_size=3)
people = st.one_of(
    st.just("no good"),
    st.fixed_dictionaries(
        {"n": st.integers(0, 9), "name": st.sampled_from(["Ayşe", "İnci"]), "tags": tags},
        optional={"phone": st.sampled_from(["0555 123 45 67", "0532 111 22 33", "bad"])},
    ),
)
bounds = st.builds(Bounds, messages=st.integers(1, 5), steps=st.integers(1, 12), rows=st.integers(1, 4))


def essence(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.state,
        outcome.failure,
        outcome.sent,
        outcome.rejects,
        outcome.trace,
        outcome.logs,
        outcome.progress,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(people, max_size=8), bounds)
def test_chunks_and_restarts_change_nothing(persons: list[Any], cut: Bounds) -> None:
    rows = rows_from(persons)
    dropped = event(EventKind.FILE)
    whole = essence(drive(FLOW, dropped, rows=rows, restart=False))
    assert essence(drive(FLOW, dropped, rows=rows, limits=cut, restart=False)) == whole
    assert essence(drive(FLOW, dropped, rows=rows, limits=cut, restart=True)) == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(people.filter(lambda person: person != "no good"), min_size=1, max_size=8), bounds)
def test_rows_by_hand_lead_to_what_rows_of_a_file_lead_to(persons: list[Any], cut: Bounds) -> None:
    dropped = drive(FLOW, event(EventKind.FILE), rows=rows_from(persons))
    by_hand = drive(FLOW, event(EventKind.MANUAL, payload=persons), limits=cut)
    assert by_hand.sent == dropped.sent
    assert [reject.number for reject in by_hand.rejects] == [reject.number for reject in dropped.rejects]


def test_dates_and_exact_numbers_survive_a_restart_in_the_flows_zone() -> None:
    text = """
    vars: {when: "{{ event.occurred_at }}", day: "{{ event.at.date() }}", sum: "{{ event.sum }}"}
    steps:
    - for_each: "[event.at, event.at]"
      as: at
      steps: [{log: "{{ vars.when }} {{ vars.day }} {{ vars.sum + 1 }} {{ at }} {{ at.hour }}"}]
    """
    from datetime import UTC, datetime
    from decimal import Decimal

    happened = event(at=datetime(2026, 10, 25, 22, 30, tzinfo=UTC), sum=Decimal("1.10"))
    whole = drive(flow(text), happened)
    assert whole.logs[0].text == "2026-05-04 11:59:55+03:00 2026-10-26 2.10 2026-10-26 01:30:00+03:00 1"
    assert drive(flow(text), happened, limits=Bounds(steps=1)).logs == whole.logs
