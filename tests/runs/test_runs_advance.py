"""What a run does with each step, and what it leaves when something cannot be evaluated."""

from datetime import timedelta

import pytest
from runs_kit import NOW, drive, event, flow, rows_from, steps_of

from conwp_bot.model.delivery import DeliveryClass, State
from conwp_bot.model.event import EventKind
from conwp_bot.model.rows import Row
from conwp_bot.model.run import RunState
from conwp_bot.runs.happening import Bounds

SEND = '- send: {to: "0555 123 45 67", text: "hello"}'


def test_a_send_makes_a_message_with_the_flows_delivery() -> None:
    outcome = drive(flow(f"steps:\n{SEND}"), event())
    [message] = outcome.messages
    assert outcome.state is RunState.DONE
    assert (message.recipient, message.content.text, message.content.kind) == ("905551234567", "hello", "text")
    assert (message.id, message.run, message.flow, message.step) == ("msg_1", "run_1", "demo", "steps[0]")
    assert (message.klass, message.account, message.attempts_allowed) == (DeliveryClass.NORMAL, "default", 8)
    assert (message.created_at, message.expires_at) == (NOW, NOW + timedelta(hours=2))
    assert (message.state, message.reason) == (State.PENDING, None)


def test_one_to_may_give_several_numbers_and_each_number_gets_one_message() -> None:
    to = '["{{ event.payload.list }}", "+90 555 123 45 67", "0532 111 22 33"]'
    payload = {"list": "0555 123 45 67, 0555 123 45 68;\n905551234567\n\n"}
    outcome = drive(flow(f'steps:\n- send: {{to: {to}, text: "x"}}'), event(payload=payload))
    assert [message.recipient for message in outcome.messages] == ["905551234567", "905551234568", "905321112233"]


@pytest.mark.parametrize(
    ("to", "recipient", "reason"),
    [
        ("nobody", "nobody", "'nobody' is no phone number"),
        (
            "0555 123",
            "0555 123",
            "'0555 123' is no valid phone number: no such number exists in its country's numbering plan",
        ),
        ("", "", "no number was given"),
        (" , ;", "", "no number was given"),
        ("x" * 100, "x" * 40, None),
        ("\ud800", "\ufffd", None),
    ],
)
def test_a_number_that_is_not_valid_is_a_failed_message_with_the_reason(
    to: str, recipient: str, reason: str | None
) -> None:
    outcome = drive(flow('steps:\n- send: {to: "{{ event.payload }}", text: "x"}'), event(payload=to))
    [message] = outcome.messages
    assert (outcome.state, message.state, message.recipient) == (RunState.DONE, State.FAILED, recipient)
    assert message.reason is not None
    assert reason is None or message.reason == reason
    message.reason.encode()


def test_an_empty_text_among_several_numbers_is_nobody() -> None:
    outcome = drive(flow('steps:\n- send: {to: ["{{ event.payload }}", "05551234567"], text: "x"}'), event(payload=""))
    assert outcome.sent == [("905551234567", "x")]


def test_an_empty_text_fails_the_run() -> None:
    outcome = drive(flow('steps:\n- send: {to: "05551234567", text: "{{ event.payload }}"}'), event(payload=" \n "))
    assert (outcome.state, outcome.failure) == (RunState.FAILED, "steps[0].send.text: the text is empty")
    assert outcome.messages == []
    assert outcome.did[-1] == ("steps[0]", "failed", "steps[0].send.text: the text is empty")


def test_a_medium_needs_no_text_but_a_web_address() -> None:
    text = 'steps:\n- send: {to: "05551234567", text: "{{ event.payload.text }}", media: "{{ event.payload.url }}", type: image}'
    [good] = drive(flow(text), event(payload={"text": "", "url": "https://example.org/a.png"})).messages
    assert (good.state, good.content.kind, good.content.media_url) == (
        State.PENDING,
        "image",
        "https://example.org/a.png",
    )
    for url in ("ftp://example.org/a", "/etc/passwd", "", "https://", "http://[", "https://a b", "javascript:alert(1)"):
        [bad] = drive(flow(text), event(payload={"text": "x", "url": url})).messages
        assert (bad.state, bad.reason) == (State.FAILED, "the media's address must begin with http:// or https://")


def test_a_text_that_is_too_long_is_a_failed_message() -> None:
    text = 'steps:\n- send: {to: "05551234567", text: "{{ event.payload }}"}'
    [longest] = drive(flow(text), event(payload="ş" * 4096)).messages
    assert longest.state is State.PENDING
    [over] = drive(flow(text), event(payload="ş" * 4097)).messages
    assert (over.state, over.reason) == (State.FAILED, "the text has 4,097 characters; a message holds 4,096")
    assert len(over.content.text) == 4096


def test_for_each_walks_lists_and_mappings() -> None:
    text = """
    steps:
    - for_each: event.payload
      as: x
      steps: [{log: "{{ x }}"}]
    """
    assert [line.text for line in drive(flow(text), event(payload=[1, "b"])).logs] == ["1", "b"]
    pairs = text.replace("{{ x }}", "{{ x.key }}={{ x.value }}")
    assert [line.text for line in drive(flow(pairs), event(payload={"a": 1, "b": 2})).logs] == ["a=1", "b=2"]
    assert drive(flow(text), event(payload=[])).state is RunState.DONE


@pytest.mark.parametrize(
    ("payload", "kind"), [(5, "a number"), ("abc", "a text"), (None, "none"), (True, "true or false")]
)
def test_for_each_over_anything_else_fails_and_says_what_it_got(payload: object, kind: str) -> None:
    text = "steps:\n- for_each: event.payload\n  as: x\n  steps: [{log: x}]"
    outcome = drive(flow(text), event(payload=payload))
    assert outcome.failure == f"steps[0].for_each: event.payload is {kind}; a loop needs a list or a mapping"


def test_a_loop_has_a_longest_list_and_a_run_a_longest_way() -> None:
    text = "steps:\n- for_each: event.payload\n  as: x\n  steps: [{set: {y: 1}}]"
    many = event(payload=list(range(30)))
    outcome = drive(flow(text), many, limits=Bounds(items=29))
    assert outcome.failure == "steps[0].for_each: the list has 30 items; a loop takes at most 29"
    outcome = drive(flow(text), many, limits=Bounds(run_steps=20, steps=6))
    assert outcome.failure == "the run takes more than 20 steps"


def test_a_loops_name_goes_with_its_loop() -> None:
    text = """
    steps:
    - for_each: "[1, 2]"
      as: x
      steps:
      - for_each: "['a']"
        as: y
        steps: [{log: "{{ x }}{{ y }}"}]
      - log: "{{ x }}"
    - for_each: "['b']"
      as: y
      steps: [{log: "{{ y }}"}]
    """
    for limits in (Bounds(), Bounds(steps=1)):
        assert [line.text for line in drive(flow(text), event(), limits=limits).logs] == ["1a", "1", "2a", "2", "b"]


def test_set_values_are_seen_by_what_follows_and_by_later_values_of_the_same_step() -> None:
    text = """
    vars: {a: 1, b: "{{ vars.a + 1 }}"}
    steps:
    - id: two
      set: {c: "{{ vars.b + 1 }}", d: "{{ vars.c + 1 }}"}
    - log: "{{ vars.a }}{{ vars.b }}{{ vars.c }}{{ vars.d }}{{ steps.two.d }}"
    """
    outcome = drive(flow(text), event())
    assert [line.text for line in outcome.logs] == ["12344"]
    assert ("two", "set", "c = 3, d = 4") in outcome.did


def test_if_goes_one_way_and_says_which() -> None:
    text = """
    steps:
    - if: event.payload > 1
      then: [{log: many}]
      else: [{log: few}]
    - if: event.payload > 1
      then: [{log: again}]
    """
    assert [line.text for line in drive(flow(text), event(payload=2)).logs] == ["many", "again"]
    few = drive(flow(text), event(payload=1))
    assert [line.text for line in few.logs] == ["few"]
    assert few.did[0] == ("steps[0]", "chose", "else: event.payload > 1 is false")


def test_a_when_that_is_false_skips_its_step_and_is_traced_with_its_expression() -> None:
    outcome = drive(flow("steps:\n- when: event.payload == 1\n  log: never\n- log: always"), event(payload=2))
    assert [line.text for line in outcome.logs] == ["always"]
    assert outcome.did[0] == ("steps[0]", "skipped", "when: event.payload == 1 is false")


def test_the_flows_when_skips_the_whole_event_after_its_vars() -> None:
    text = f"vars: {{n: 1}}\nwhen: vars.n == event.payload\nsteps:\n{SEND}"
    assert drive(flow(text), event(payload=1)).state is RunState.DONE
    skipped = drive(flow(text), event(payload=2))
    assert (skipped.state, skipped.messages) == (RunState.SKIPPED, [])
    assert skipped.did == [("flow", "skipped", "when: vars.n == event.payload is false")]


def test_stop_ends_the_run_and_keeps_what_was_made() -> None:
    text = f"""
    steps:
    {SEND}
    - for_each: "[1, 2, 3]"
      as: x
      steps:
      - when: x == 2
        stop: "enough at {{{{ x }}}}"
      - log: "{{{{ x }}}}"
    - log: never
    """
    outcome = drive(flow(text), event())
    assert (outcome.state, len(outcome.messages)) == (RunState.STOPPED, 1)
    assert [line.text for line in outcome.logs] == ["1"]
    assert outcome.did[-1] == ("steps[1].steps[0]", "stopped", "enough at 2")


def test_outputs_add_up_over_a_run_and_exist_for_skipped_steps_too() -> None:
    text = """
    steps:
    - id: loop
      for_each: event.payload
      as: x
      steps:
      - id: greet
        when: x != "05551110000"
        send: {to: "{{ x }}", text: hi}
    - log: "{{ steps.loop['items'] }} {{ steps.greet.messages }}"
    """
    numbers = ["05551110001", "05551110000", "05551110002,05551110003"]
    assert [line.text for line in drive(flow(text), event(payload=numbers)).logs] == ["3 3"]
    assert [line.text for line in drive(flow(text), event(payload=["05551110000"])).logs] == ["1 0"]


# ---- what cannot be evaluated


def test_a_run_that_fails_in_one_chunk_leaves_no_message() -> None:
    outcome = drive(flow(f'steps:\n{SEND}\n{SEND}\n- log: "{{{{ event.nothing }}}}"'), event())
    assert (outcome.state, outcome.messages, outcome.progress.messages) == (RunState.FAILED, [], 0)
    assert outcome.failure is not None
    assert "nothing" in outcome.failure


def test_a_failing_var_or_gate_fails_the_run() -> None:
    for part in ('vars: {a: "{{ event.nothing }}"}', "when: event.nothing", "when: event.payload"):
        assert drive(flow(f"{part}\nsteps:\n{SEND}"), event(payload=1)).state is RunState.FAILED


def test_what_was_committed_before_a_failure_stays() -> None:
    text = """
    steps:
    - for_each: event.payload
      as: x
      steps: [{send: {to: "0555 123 45 67", text: "{{ 6 // x }}"}}]
    """
    flow_ = flow(text.replace("{{ 6 // x }}", "{{ x.n }}"))
    items = [{"n": 1}, {"n": 2}, {"n": 3}, {}]
    assert len(drive(flow_, event(payload=items), limits=Bounds(messages=2)).messages) == 2
    assert len(drive(flow_, event(payload=items)).messages) == 0


ROWS = """
vars: {seen: 0}
steps:
- send: {to: "0555 000 00 00", text: start}
- id: rows
  for_each: event.rows
  as: row
  steps:
  - set: {seen: "{{ vars.seen + 1 }}"}
  - id: first
    send: {to: "{{ row.phone }}", text: "one {{ row.name }}"}
  - for_each: row.extra
    as: x
    steps: [{send: {to: "{{ row.phone }}", text: "{{ x.text }}"}}]
- log: "{{ vars.seen }} {{ steps.rows['items'] }} {{ steps.first.messages }}"
"""


def row(number: int, *texts: str, **more: object) -> dict[str, object]:
    return {"phone": f"0555 100 {number:04}", "name": str(number), "extra": [{"text": text} for text in texts], **more}


def test_a_row_is_all_or_nothing() -> None:
    rows = rows_from(
        [row(1, "a"), "the date is no date", row(3, "b", "  "), {"phone": "0555 100 0004"}, row(5), row(6, "c", "d")]
    )
    outcome = drive(flow(ROWS), event(EventKind.FILE), rows=rows)
    assert outcome.state is RunState.DONE
    assert [text for _, text in outcome.sent] == ["start", "one 1", "a", "one 5", "one 6", "c", "d"]
    assert [(reject.number, reject.raw) for reject in outcome.rejects] == [(2, "raw 2"), (3, "raw 3"), (4, "raw 4")]
    assert outcome.rejects[0].reason == "the date is no date"
    assert "the text is empty" in outcome.rejects[1].reason
    assert [line.text for line in outcome.logs] == ["3 3 3"]
    assert (outcome.progress.rejected, outcome.progress.rows) == (3, 6)


def test_a_rejected_row_leaves_only_its_rejection_in_the_trace() -> None:
    outcome = drive(flow(ROWS), event(EventKind.FILE), rows=rows_from([row(1, " ")]))
    assert [(step, did) for step, did, _ in outcome.did] == [
        ("steps[0]", "sent"),
        ("rows", "looped"),
        ("rows", "rejected"),
        ("steps[2]", "logged"),
    ]


def test_a_file_that_cannot_be_used_as_a_whole_fails_its_run_with_the_reason() -> None:
    whole = Row(1, None, 'the column "tel" is missing', "telefon;ad", whole=True)
    outcome = drive(flow(ROWS), event(EventKind.FILE), rows=[whole])
    assert (outcome.state, outcome.failure) == (RunState.FAILED, 'the column "tel" is missing')
    assert [reject.reason for reject in outcome.rejects] == ['the column "tel" is missing']


def test_unusable_rows_are_only_counted_in_the_trace() -> None:
    outcome = drive(flow(ROWS), event(EventKind.FILE), rows=rows_from(["bad"] * 1234))
    assert len(outcome.rejects) == 1234
    assert outcome.progress.counted == {"rows rejected": 1234}


def test_a_failure_after_the_rows_keeps_the_messages_of_rows() -> None:
    text = ROWS + '- send: {to: "0555 000 00 00", text: end}\n- log: "{{ event.nothing }}"\n'
    outcome = drive(flow(text), event(EventKind.FILE), rows=rows_from([row(1), row(2)]))
    assert outcome.state is RunState.FAILED
    assert [text for _, text in outcome.sent] == ["start", "one 1", "one 2"]
    assert outcome.progress.messages == 3


def test_one_row_cannot_make_a_run_run_away() -> None:
    text = """
    steps:
    - for_each: event.rows
      as: row
      steps:
      - for_each: row.xs
        as: x
        steps: [{send: {to: "0555 123 45 67", text: "{{ x }}"}}]
    """
    rows = rows_from([{"xs": [1] * 4}, {"xs": [1] * 5}, {"xs": [1]}])
    outcome = drive(flow(text), event(EventKind.FILE), rows=rows, limits=Bounds(row_messages=4))
    assert (len(outcome.messages), [r.reason for r in outcome.rejects]) == (5, ["this row makes more than 4 messages"])
    outcome = drive(flow(text), event(EventKind.FILE), rows=rows, limits=Bounds(row_steps=5))
    assert (len(outcome.messages), [r.reason for r in outcome.rejects]) == (5, ["this row takes more than 5 steps"])


def test_rows_can_be_walked_twice_one_after_the_other_but_not_within_each_other() -> None:
    text = """
    steps:
    - {for_each: event.rows, as: a, steps: [{log: "a{{ a.n }}"}]}
    - {for_each: event.rows, as: b, steps: [{log: "b{{ b.n }}"}]}
    """
    rows = rows_from([{"n": 1}, "bad", {"n": 3}])
    for limits in (Bounds(), Bounds(rows=1), Bounds(steps=1)):
        outcome = drive(flow(text), event(EventKind.FILE), rows=rows, limits=limits)
        assert [line.text for line in outcome.logs] == ["a1", "a3", "b1", "b3"]
        assert [reject.number for reject in outcome.rejects] == [2]
    nested = """
    steps:
    - for_each: event.rows
      as: a
      steps: [{for_each: event.rows, as: b, steps: [{log: "x"}]}]
    """
    outcome = drive(flow(nested), event(EventKind.FILE), rows=rows)
    assert len(outcome.rejects) == 3
    assert "cannot be walked twice at once" in outcome.rejects[0].reason


def test_a_flow_for_files_fired_by_hand_walks_a_list_of_mappings_as_rows() -> None:
    outcome = drive(
        flow(ROWS), event(EventKind.MANUAL, payload=[row(1), {"phone": "1"}, row(3)]), limits=Bounds(rows=1)
    )
    assert [text for _, text in outcome.sent] == ["start", "one 1", "one 3"]
    assert [(reject.number, reject.raw) for reject in outcome.rejects] == [(2, '{"phone":"1"}')]


def test_a_file_without_rows_is_done_at_once() -> None:
    outcome = drive(flow(ROWS), event(EventKind.FILE))
    assert (outcome.state, outcome.calls, len(outcome.messages)) == (RunState.DONE, 2, 1)


def test_a_run_asks_for_rows_before_it_makes_anything_of_them() -> None:
    first = next(iter(steps_of(flow(ROWS), event(EventKind.FILE))))
    assert (first.state, [m.content.text for m in first.messages]) == (RunState.RUNNING, ["start"])


# ---- the trace


def test_the_trace_of_a_long_run_stays_small_and_counts_the_rest() -> None:
    text = """
    steps:
    - for_each: event.rows
      as: row
      steps:
      - when: row.n > 30
        send: {to: "0555 123 45 67", text: x}
    - log: the end
    """
    rows = rows_from([{"n": number % 60} for number in range(1200)])
    outcome = drive(flow(text), event(EventKind.FILE), rows=rows, limits=Bounds(rows=100))
    assert len(outcome.trace) == 1 + 20 + 20 + 1
    assert outcome.trace[-1].did == "logged"
    assert outcome.progress.counted == {"steps[0].steps[0] skipped": 600, "steps[0].steps[0] sent": 560}
    assert {entry.item for entry in outcome.trace[1:21]} == set(range(1, 21))
    tight = drive(flow(text), event(EventKind.FILE), rows=rows, limits=Bounds(trace=5))
    assert len(tight.trace) == 5
    assert sum(tight.progress.counted.values()) + 5 == 1202


def test_how_a_run_ended_is_traced_however_full_the_trace_is() -> None:
    stopped = drive(flow("steps:\n- log: a\n- log: b\n- stop: why"), event(), limits=Bounds(trace=1))
    assert stopped.did == [("steps[0]", "logged", "a"), ("steps[2]", "stopped", "why")]
    failed = drive(flow('steps:\n- log: a\n- log: "{{ event.no }}"'), event(), limits=Bounds(trace=1))
    assert [did for _, did, _ in failed.did] == ["logged", "failed"]


def test_what_a_trace_tells_is_one_short_line_with_masked_numbers() -> None:
    outcome = drive(
        flow('steps:\n- log: "{{ event.payload }}"\n- send: {to: "{{ event.query.to }}", text: x}'),
        event(payload="a\nb" + "c" * 1000, query={"to": "0555 123 45 67, nobody"}),
    )
    assert outcome.trace[0].detail.startswith("a bcc")
    assert len(outcome.trace[0].detail) == 300
    assert outcome.trace[1].detail == "to 9055******67; 1 failed: 'nobody' is no phone number"
