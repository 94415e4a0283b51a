"""What the database tells a person, on real SQLite filled through the real units."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cli_kit import NOW, Filled, message, record, request
from sqlalchemy.engine import Connection

from conwp_bot.model.budget import Limit
from conwp_bot.model.delivery import State
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import RunState
from conwp_bot.store import outbox
from conwp_bot.store.books import account_budgets, flow_accounts, limit_used
from conwp_bot.store.reports import (
    MessageFilter,
    MessageReport,
    attempts_of,
    list_messages,
    list_runs,
    message_states,
    messages_beginning,
    messages_by_id,
    run_details,
    run_report,
    runs_beginning,
)
from conwp_bot.store.sqlite import make_engine

ISTANBUL = ZoneInfo("Europe/Istanbul")
ANY = MessageFilter()


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    filled = Filled(tmp_path)
    with filled.engine.begin() as connection:
        yield connection
    filled.close()


def listed(conn: Connection, wanted: MessageFilter = ANY, limit: int = 50) -> list[MessageReport]:
    return list_messages(conn, wanted, limit=limit, now=NOW, zone=ISTANBUL)


def test_messages_come_newest_first_and_no_more_than_asked(conn: Connection) -> None:
    record(conn, [message(number) for number in range(5)])
    assert [each.id for each in listed(conn, limit=3)] == ["msg_0004", "msg_0003", "msg_0002"]


def test_each_filter_narrows(conn: Connection) -> None:
    record(conn, [message(1), message(2, recipient="abc", state=State.FAILED, reason="no number")])
    record(conn, [message(3, flow="other", run="run_2")], run="run_2", flow="other")
    assert [each.id for each in listed(conn, MessageFilter(flow="other"))] == ["msg_0003"]
    assert [each.id for each in listed(conn, MessageFilter(state="failed"))] == ["msg_0002"]
    assert [each.id for each in listed(conn, MessageFilter(run="run_1"))] == ["msg_0002", "msg_0001"]
    assert [each.id for each in listed(conn, MessageFilter(recipients=("abc", "x")))] == ["msg_0002"]
    assert message_states(conn, "run_1") == {"pending": 1, "failed": 1}


def test_a_state_that_is_none_is_refused(conn: Connection) -> None:
    with pytest.raises(ValueError, match="x"):
        listed(conn, MessageFilter(state="x' OR 1"))


def test_attempts_count_the_requests_that_a_message_was_part_of(conn: Connection) -> None:
    record(conn, [message(1), message(2)])
    request(conn, 1, ["msg_0001", "msg_0002"], at=NOW - timedelta(seconds=9), outcome="limited")
    request(conn, 2, ["msg_0001"], at=NOW - timedelta(seconds=5))
    assert {each.id: (each.state, each.attempts) for each in listed(conn)} == {
        "msg_0001": ("accepted", 2),
        "msg_0002": ("pending", 1),
    }
    assert [(each.request, each.outcome) for each in attempts_of(conn, "msg_0001")] == [
        ("req_0001", "limited"),
        ("req_0002", "accepted"),
    ]
    [one] = messages_by_id(conn, ["msg_0001", "msg_9"], now=NOW, zone=ISTANBUL)
    assert (one.provider_id, one.accepted_at) == ("pmsg_0001", NOW - timedelta(seconds=5))


@pytest.mark.parametrize(
    ("scope", "name", "because", "detail", "minutes", "reason"),
    [
        ("account", "default", "budget", None, 95, "budget of default is used up until 14:05"),
        ("account", "default", "budget", None, 24 * 60, "budget of default is used up until 2026-03-03 12:30"),
        ("flow", "hello", "flow limit", None, 10, "limit of hello is used up until 12:40"),
        (
            "account",
            "default",
            "limited",
            "ConWP answered 429",
            1,
            "account default waits until 12:31: ConWP answered 429",
        ),
    ],
)
def test_a_due_message_shows_the_wait_of_its_account_or_flow_as_its_reason(
    conn: Connection, scope: str, name: str, because: str, detail: str | None, minutes: int, reason: str
) -> None:
    record(conn, [message(1)])
    outbox.set_wait(conn, scope, name, NOW + timedelta(minutes=minutes), because, detail, NOW)
    assert listed(conn)[0].reason == reason


def test_the_clock_of_a_wait_is_rounded_up_so_that_nobody_looks_too_early(conn: Connection) -> None:
    record(conn, [message(1)])
    outbox.set_wait(conn, "account", "default", NOW + timedelta(seconds=61), "budget", None, NOW)
    assert listed(conn)[0].reason == "budget of default is used up until 12:32"


def test_a_message_that_is_not_due_or_whose_wait_is_over_keeps_its_own_reason(conn: Connection) -> None:
    record(
        conn, [message(1, at=NOW - timedelta(hours=1)), message(2), message(3, state=State.FAILED, reason="no number")]
    )
    outbox.claim(conn, ["msg_0001"], "me", NOW)
    later = outbox.Move("msg_0001", outbox.Cause.RELEASE, "not sent: no connection", NOW + timedelta(minutes=1))
    outbox.move(conn, [later], NOW)
    outbox.set_wait(conn, "account", "default", NOW + timedelta(minutes=5), "budget", None, NOW)
    reasons = {each.id: each.reason for each in listed(conn)}
    assert reasons["msg_0001"] == "not sent: no connection"
    assert reasons["msg_0003"] == "no number"
    outbox.set_wait(conn, "account", "default", NOW, "budget", None, NOW)
    assert listed(conn, MessageFilter(state="pending"))[0].reason is None


def test_runs_come_newest_first_with_what_fired_them(conn: Connection) -> None:
    record(conn, [message(1)])
    record(conn, [], run="run_2", flow="other", state=RunState.FAILED, reason="no such name")
    newest, oldest = list_runs(conn, flow=None, state=None, limit=10)
    assert (newest.id, newest.state, newest.reason) == ("run_2", "failed", "no such name")
    assert (oldest.trigger, oldest.kind, oldest.messages) == ("hook", "webhook", 1)
    assert [run.id for run in list_runs(conn, flow="hello", state="done", limit=10)] == ["run_1"]
    assert run_report(conn, "run_2") == newest
    assert run_report(conn, "run_3") is None


def test_run_details_hold_event_trace_and_the_first_rejected_rows(conn: Connection) -> None:
    record(conn, [message(1)], rejects=[Reject(number, "no phone", "a;b") for number in range(1, 31)])
    details = run_details(conn, "run_1")
    assert details is not None
    assert details.event.data["payload"]["name"].startswith("Ayşe")
    assert [entry.did for entry in details.trace] == ["sent"]
    assert (len(details.rejects), details.run.rejected) == (20, 30)
    assert run_details(conn, "run_2") is None


def test_the_beginning_of_an_id_finds_it(conn: Connection) -> None:
    record(conn, [message(1), message(12), message(120)])
    assert runs_beginning(conn, "run_") == ["run_1"]
    assert messages_beginning(conn, "msg_012") == ["msg_0120"]
    assert messages_beginning(conn, "msg_") == ["msg_0001", "msg_0012", "msg_0120"]
    assert messages_beginning(conn, "msg_%") == []


def test_a_flows_books_share_a_bulk_request_and_tell_hour_from_today(conn: Connection) -> None:
    record(conn, [message(number, at=NOW - timedelta(hours=20)) for number in range(1, 9)])
    midnight = NOW.replace(hour=0, minute=0) - timedelta(hours=3)  # Istanbul's
    request(conn, 1, ["msg_0001"], at=midnight - timedelta(seconds=1))  # yesterday
    request(conn, 2, ["msg_0002"], at=midnight + timedelta(seconds=1))
    request(conn, 3, ["msg_0003"], at=NOW - timedelta(minutes=60))  # just outside of the hour
    request(conn, 4, ["msg_0004", "msg_0005"], at=NOW - timedelta(minutes=59))
    request(conn, 5, ["msg_0006"], at=NOW - timedelta(minutes=1), outcome="invalid")
    request(conn, 6, ["msg_0007"], at=NOW, outcome=None)
    books = flow_accounts(conn, now=NOW, zone=ISTANBUL)["hello"]
    assert (books.requests_hour, books.requests_today) == (3.0, 5.0)
    assert (books.messages_hour, books.messages_today) == (2, 4)
    assert (books.refused_hour, books.refused_today) == (1, 1)
    assert books.waiting == 1
    assert limit_used(conn, {"hello": Limit(200, timedelta(hours=1))}, now=NOW) == {"hello": 4}


def test_a_request_shared_by_two_flows_counts_half_for_each(conn: Connection) -> None:
    record(conn, [message(1)])
    record(conn, [message(2, flow="other", run="run_2")], run="run_2", flow="other")
    from conwp_bot.store import ledger

    shared = (("msg_0001", "hello"), ("msg_0002", "other"))
    ledger.reserve(conn, ledger.Reservation("req_1", "default", "send-bulk-message", "normal", NOW, NOW, shared))
    books = flow_accounts(conn, now=NOW, zone=ISTANBUL)
    assert (books["hello"].requests_hour, books["other"].requests_hour) == (0.5, 0.5)


def test_soon_after_midnight_the_hour_reaches_back_into_yesterday(conn: Connection) -> None:
    night = NOW.replace(hour=21, minute=10)  # 00:10 in Istanbul
    record(conn, [message(1, at=NOW)])
    request(conn, 1, ["msg_0001"], at=night - timedelta(minutes=30))
    books = flow_accounts(conn, now=night, zone=ISTANBUL)["hello"]
    assert (books.messages_hour, books.messages_today) == (1, 0)


def test_a_budget_says_what_is_left_when_a_slot_frees_and_why_it_waits(conn: Connection) -> None:
    limit = Limit(3, timedelta(hours=1))
    record(conn, [message(number, at=NOW - timedelta(hours=2)) for number in range(1, 6)])
    request(conn, 1, ["msg_0001"], at=NOW - timedelta(minutes=61))
    request(conn, 2, ["msg_0002"], at=NOW - timedelta(minutes=40))
    [report] = account_budgets(conn, [("default", limit, limit)], now=NOW)
    assert (report.used, report.left, report.backlog, report.requests_hour) == (1, 2, 3, 1)
    assert report.frees_at == NOW + timedelta(minutes=20)
    assert report.waiting is None
    request(conn, 3, ["msg_0003"], at=NOW - timedelta(minutes=10), outcome="limited")
    request(conn, 4, ["msg_0004"], at=NOW, outcome=None)
    outbox.set_wait(conn, "account", "default", NOW + timedelta(minutes=20), "budget", None, NOW)
    [report] = account_budgets(conn, [("default", limit, limit)], now=NOW)
    assert (report.used, report.left) == (3, 0)
    assert report.frees_at == NOW + timedelta(minutes=20)
    assert report.waiting is not None
    assert report.waiting.because == "budget"


def test_an_account_without_requests_has_all_of_its_budget(conn: Connection) -> None:
    limit = Limit(1000, timedelta(hours=1))
    [report] = account_budgets(conn, [("shop", limit, Limit(990, limit.span))], now=NOW)
    assert (report.left, report.frees_at, report.pending) == (990, None, 0)


def test_a_read_only_connection_reads_while_another_writes(tmp_path: Path) -> None:
    filled = Filled(tmp_path)
    with filled.engine.begin() as conn:
        record(conn, [message(1)])
    reader = make_engine(filled.path, readonly=True)
    with filled.engine.begin() as writing:
        record(writing, [message(2, run="run_2")], run="run_2")
        with reader.connect() as reading, reading.begin():
            assert [each.id for each in listed(reading)] == ["msg_0001"]
    reader.dispose()
    filled.close()
