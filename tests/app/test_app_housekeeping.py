"""What is done now and then: old rows are forgotten, dropped files are put away, and neither loses what still matters."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from app_kit import in_state, make_site, post, running, states, until
from sqlalchemy import event, func, select, update
from sqlalchemy.engine import Connection

from conwp_bot.app.engine import DATABASE
from conwp_bot.app.housekeeping import FORGET_EVERY, forget_forever
from conwp_bot.ids import Ids, first_id
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import RunHeader, RunState
from conwp_bot.store import ledger, schema
from conwp_bot.store.migrate import migrate_sqlite, open_sqlite
from conwp_bot.store.records import Evaluated, Recorded, record_batch
from conwp_bot.store.retention import BATCH, forget_old
from conwp_bot.store.sqlite import SqliteStore, make_engine
from conwp_bot.testing.clock import MovedClock
from conwp_bot.testing.filling import fill

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
OLD = NOW - MONTH - timedelta(days=1)

FILE = """\
triggers: [{file: inbox/*.csv, settle: 50ms, columns: {to: phone, n: text}}]
steps: [{for_each: event.rows, as: row, steps: [{send: {to: "{{ row.to }}", text: "file {{ row.n }}"}}]}]
"""


async def counts(store: SqliteStore) -> dict[str, int]:
    def query(conn: Connection) -> dict[str, int]:
        tables = (schema.messages, schema.runs, schema.events, schema.requests, schema.attempts, schema.rejects)
        return {table.name: conn.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}

    return await store.read(query)


def put_state(conn: Connection, ids: list[str], state: str) -> None:
    conn.execute(update(schema.messages).where(schema.messages.c.id.in_(ids)).values(state=state))


async def forget_all(store: SqliteStore, keep: tuple[str, ...] = ()) -> int:
    batches = 0
    while await store.do(forget_old, NOW - MONTH, NOW, keep):
        batches += 1
    return batches


def test_what_is_final_and_old_goes_and_what_waits_or_is_held_stays_with_its_run(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_sqlite(tmp_path / DATABASE)
        done = await fill(store, 3, OLD)
        mixed = await fill(store, 3, OLD)
        await fill(store, 2, NOW - timedelta(days=1))
        await store.do(put_state, done, "accepted")
        await store.do(put_state, mixed[:1], "held")
        await store.do(put_state, mixed[1:2], "failed")  # the third is still pending
        await forget_all(store)
        assert await counts(store) == {
            "messages": 4,
            "runs": 2,
            "events": 2,
            "requests": 0,
            "attempts": 0,
            "rejects": 0,
        }
        await store.close()

    asyncio.run(main())


def test_the_ledger_outlives_every_limits_span_and_a_held_messages_attempts_outlive_the_ledger(tmp_path: Path) -> None:
    def spend(conn: Connection, ids: Ids, at: datetime, message: str) -> None:
        request = ids.make("req", at)
        ledger.reserve(
            conn,
            ledger.Reservation(
                request, "default", "send-message", "normal", at, at + timedelta(minutes=3), ((message, "filling"),)
            ),
        )
        ledger.finish(conn, request, at, "unknown", "")

    async def main() -> None:
        store = await open_sqlite(tmp_path / DATABASE)
        ids = Ids()
        gone, held = await fill(store, 2, OLD)
        await store.do(put_state, [gone], "accepted")
        await store.do(put_state, [held], "held")
        await store.do(spend, ids, OLD, gone)
        await store.do(spend, ids, OLD, held)
        await store.do(spend, ids, NOW - timedelta(days=7), "of no message any more")
        short = timedelta(hours=1)  # the shortest retention that a config may ask for
        while await store.do(forget_old, NOW - short, NOW):
            pass
        found = await counts(store)
        assert (found["requests"], found["attempts"], found["messages"]) == (1, 2, 1)
        await store.close()

    asyncio.run(main())


def test_a_large_clean_up_is_done_in_batches(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_sqlite(tmp_path / DATABASE)
        ids = await fill(store, BATCH * 2 + 1, OLD)
        for begin in range(0, len(ids), 500):
            await store.do(put_state, ids[begin : begin + 500], "accepted")
        assert await forget_all(store) == 3
        assert set((await counts(store)).values()) == {0}
        await store.close()

    asyncio.run(main())


def test_the_run_of_a_file_that_is_not_put_away_is_kept_so_that_it_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_sqlite(tmp_path / DATABASE)
        ids = Ids()
        fired = Event(ids.make("ev", OLD), "file", "file", EventKind.FILE, OLD)
        header = RunHeader(ids.make("run", OLD), "file", "hash", fired.id, OLD)
        ended = Evaluated(RunState.DONE, None, None, [], [Reject(1, "no number", "x")], (), 0, 1, OLD)
        await store.do(record_batch, [Recorded(fired, header, ended)])
        await forget_all(store, (fired.id,))
        kept = await counts(store)
        assert (kept["events"], kept["runs"], kept["rejects"]) == (1, 1, 1)
        await forget_all(store)
        assert set((await counts(store)).values()) == {0}
        await store.close()

    asyncio.run(main())


def test_forgetting_searches_what_is_old_and_scans_no_large_table(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / DATABASE)
    engine = make_engine(tmp_path / DATABASE)
    seen: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def remember(_conn: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        seen.append((statement, parameters))

    with engine.begin() as connection:
        forget_old(connection, NOW - MONTH, NOW, ("ev_1",))
    engine.dispose()
    plain = sqlite3.connect(tmp_path / DATABASE)
    for statement, parameters in seen:
        if statement.startswith("DELETE") and "flow_versions WHERE" not in statement:
            plan = [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert not [step for step in plan if step.startswith("SCAN")], f"{statement}\n{plan}"
    plain.close()


def test_an_id_is_never_older_than_the_time_it_was_made_at() -> None:
    ids = Ids()
    made = ids.make("msg", NOW)
    assert first_id("msg", NOW) <= made < first_id("msg", NOW + timedelta(milliseconds=1))
    assert first_id("msg", NOW - timedelta(days=1)) < made
    assert ids.make("msg", NOW - timedelta(days=1)) > made  # a clock that went back


def test_the_daemon_forgets_every_hour_with_the_retention_of_that_hour(tmp_path: Path) -> None:
    async def main() -> None:
        clock = MovedClock(NOW)
        store = await open_sqlite(tmp_path / DATABASE)
        stop = asyncio.Event()
        retention = [timedelta(days=60)]
        ids = await fill(store, 2, OLD)
        await store.do(put_state, ids, "accepted")
        forgetting = asyncio.create_task(forget_forever(store, clock, lambda: retention[0], lambda: [], stop))
        await until(lambda: clock.next_deadline == NOW + FORGET_EVERY)
        assert (await counts(store))["messages"] == 2
        retention[0] = MONTH
        clock.advance(FORGET_EVERY)

        async def gone() -> bool:
            clock.advance(timedelta(seconds=1))  # the breath between two batches
            return (await counts(store))["messages"] == 0

        await until(gone)
        stop.set()
        await forgetting
        await store.close()

    asyncio.run(main())


def test_a_file_is_archived_with_its_rejected_rows_beside_it(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"file": FILE})
    (site.root / "inbox").mkdir()
    (site.root / "inbox/a.csv").write_text("to,n\n0555 123 45 67,1\n0555 123 45 68,2\nnobody,3\n")

    async def main() -> None:
        async with running(site) as daemon:
            archive = site.data / "sandbox/archive/file"
            await until(lambda: list(archive.glob("*-a.csv")))
            [rejected] = archive.glob("*-a.csv.rejected.csv")
            [_, row] = rejected.read_text(encoding="utf-8-sig").splitlines()
            assert row.startswith("3,")
            assert not list((site.root / "inbox").iterdir())
            await until(lambda: in_state(daemon, "accepted", 2))
            assert not list((site.data / "sandbox/files").iterdir())
            assert await states(daemon) == {"accepted": 2}

    asyncio.run(main())


def test_a_file_whose_run_ended_before_a_crash_is_archived_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "conwp_bot")
    site = make_site(tmp_path, {"file": FILE, "hook": FILE.replace("inbox", "other")})
    data = site.data / "sandbox"
    (site.root / "inbox").mkdir()
    data.mkdir(parents=True)
    (data / "archive").write_text("a file where the archive's folder should be: nothing can be archived")

    async def main() -> None:
        async with running(site) as daemon:
            (site.root / "inbox/a.csv").write_text("to,n\n0555 123 45 67,1\n")
            await until(lambda: in_state(daemon, "accepted"))
            await until(lambda: "cannot be archived" in caplog.text)
            # The finisher lives on: the next one is tried, too.
            (site.root / "inbox/b.csv").write_text("to,n\n0555 123 45 67,2\n")
            await until(lambda: caplog.text.count("cannot be archived") == 2)
        assert len(list((data / "files").iterdir())) == 2
        (data / "archive").unlink()
        async with running(site) as daemon:
            await until(lambda: len(list((data / "archive/file").glob("*.csv"))) == 2)
            await until(lambda: not list((data / "files").iterdir()))
            assert await states(daemon) == {"accepted": 2}  # nothing was sent again

    asyncio.run(main())


def test_a_part_that_dies_ends_the_daemon_instead_of_leaving_it_deaf(tmp_path: Path) -> None:
    from conwp_bot.app.daemon import _first_failure

    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            stop = asyncio.Event()
            watching = asyncio.create_task(_first_failure(stop, daemon.engine))
            await post(daemon.web_address, "hook")
            await until(lambda: in_state(daemon, "accepted"))
            assert not watching.done()
            daemon.engine.tasks[0].cancel()
            assert await watching is True
        async with running(site) as daemon:
            watching = asyncio.create_task(_first_failure(stop, daemon.engine))
            stop.set()
            assert await watching is False

    asyncio.run(main())
