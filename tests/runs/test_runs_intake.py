"""Events become runs: one commit each, in batches, repeats once, nothing lost when the store cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from runs_kit import NOW, event, flow
from sqlalchemy import select
from sqlalchemy.engine import Connection

from conwp_bot.errors import StoreBroken, StoreBusy, StoreClosed
from conwp_bot.flows.flow import Flow
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventReceipt, SlotMark
from conwp_bot.model.run import RunState
from conwp_bot.runs.happening import Bounds
from conwp_bot.runs.intake import Intake
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import load_run, runs_of_events, slot_marks
from conwp_bot.store.schema import messages, runs
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.testing.clock import MovedClock

GREET = flow('steps: [{send: {to: "0555 123 45 67", text: "hi {{ event.payload }}"}}]')


class Hall:
    """An intake on a real store, with what it hinted; the store's commits are counted and can be held up or refused."""

    def __init__(self, store: SqliteStore, **options: Any) -> None:
        self.real = store
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuse: Exception | None = None
        self.accounts: list[set[str]] = []
        self.unfinished: list[str] = []
        self.ended: list[tuple[str, str, bool]] = []
        self.intake = Intake(
            self,
            MovedClock(NOW),
            Ids(),
            on_messages=lambda accounts: self.accounts.append(set(accounts)),
            on_unfinished=self.unfinished.append,
            on_ended=lambda run, event, ok: self.ended.append((run, event.id, ok)),
            **options,
        )

    async def do(self, unit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.batches.append(len(args[0]))
        await self.gate.wait()
        if self.refuse is not None:
            raise self.refuse
        return await self.real.do(unit, *args, **kwargs)

    def submit(self, unit: Callable[..., Any], *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self.do(unit, *args, **kwargs))

    async def read(self, query: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self.real.read(query, *args, **kwargs)

    async def close(self) -> None:
        await self.real.close()

    async def accept(self, made: Event, by: Flow = GREET, **more: Any) -> EventReceipt:
        return await self.intake.accept(by, made, **more)


def in_hall(path: Path, body: Callable[[Hall], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        store = await open_sqlite(path / "a.db")
        try:
            await body(Hall(store, **options))
        finally:
            await store.close()

    asyncio.run(main())


def numbered(number: int, key: str | None = None, **data: Any) -> Event:
    return replace(event(**{"payload": number, **data}), id=f"ev_{number}", key=key)


def texts(conn: Connection) -> list[str]:
    return list(conn.execute(select(messages.c.text).order_by(messages.c.id)).scalars())


def reasons(conn: Connection) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in conn.execute(select(runs.c.state, runs.c.reason).order_by(runs.c.id))]


def test_an_accepted_event_is_stored_with_its_run_and_messages_and_hinted(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        receipt = await hall.accept(numbered(1))
        assert (receipt.event, receipt.first) == ("ev_1", True)
        assert receipt.run is not None
        stored = await hall.read(load_run, receipt.run)
        assert (stored.state, stored.event.data, stored.header.flow_hash) == (RunState.DONE, {"payload": 1}, GREET.hash)
        assert [(entry.step, entry.did) for entry in stored.trace] == [("steps[0]", "sent")]
        assert await hall.read(texts) == ["hi 1"]
        assert hall.accounts == [{"default"}]
        assert hall.ended == [(receipt.run, "ev_1", True)]
        assert hall.unfinished == []

    in_hall(tmp_path, body)


def test_what_arrives_while_a_batch_commits_forms_the_next_one(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        hall.gate.clear()
        accepting = [asyncio.create_task(hall.accept(numbered(number))) for number in range(1200)]
        while not hall.batches:
            await asyncio.sleep(0)
        hall.gate.set()
        receipts = await asyncio.gather(*accepting)
        assert [receipt.event for receipt in receipts] == [f"ev_{number}" for number in range(1200)]
        assert sum(hall.batches) == 1200
        assert len(hall.batches) <= 4
        assert await hall.read(texts) == [f"hi {number}" for number in range(1200)]

    in_hall(tmp_path, body)


def test_a_repeat_is_answered_with_the_first_events_id_and_stores_nothing(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        first, at_once = await asyncio.gather(hall.accept(numbered(1, "k")), hall.accept(numbered(2, "k")))
        later = await hall.accept(numbered(3, "k"))
        other = await hall.accept(replace(numbered(4, "k"), trigger="another"))
        assert [(r.event, r.first) for r in (first, at_once, later, other)] == [
            ("ev_1", True),
            ("ev_1", False),
            ("ev_1", False),
            ("ev_4", True),
        ]
        assert await hall.read(texts) == ["hi 1", "hi 4"]
        assert len(hall.ended) == 2

    in_hall(tmp_path, body)


def test_a_slots_mark_is_stored_with_its_event_also_when_the_event_is_a_repeat(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        mark = SlotMark("demo", "t", "0 9 * * *", NOW)
        await hall.accept(numbered(1, "slot"), mark=mark)
        assert await hall.read(slot_marks) == [mark]
        later = replace(mark, done_until=NOW + timedelta(days=1))
        await hall.accept(numbered(2, "slot"), mark=later)
        assert await hall.read(slot_marks) == [later]

    in_hall(tmp_path, body)


def test_a_failed_run_is_stored_with_its_event_and_reason(tmp_path: Path) -> None:
    failing = flow('steps: [{send: {to: "0555 123 45 67", text: "{{ event.payload.name }}"}}]')

    async def body(hall: Hall) -> None:
        receipt = await hall.accept(numbered(1), failing)
        [(state, reason)] = await hall.read(reasons)
        assert state == "failed"
        assert "name" in reason
        assert await hall.read(texts) == []
        assert hall.ended == [(receipt.run, "ev_1", False)]

    in_hall(tmp_path, body)


def test_a_mistake_of_ours_costs_the_run_and_not_the_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(GREET, blocks={})

    async def body(hall: Hall) -> None:
        receipt = await hall.accept(numbered(1), broken)
        assert (await hall.read(runs_of_events, ["ev_1"]))["ev_1"][1] is RunState.FAILED
        assert receipt.first
        assert (await hall.read(reasons))[0][1] == "an internal error (KeyError); the log has the details"

    in_hall(tmp_path, body)
    assert "broke off" in caplog.text


def test_an_event_that_cannot_be_stored_as_it_is_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        hall.gate.clear()
        good = asyncio.create_task(hall.accept(numbered(1)))
        while not hall.batches:
            await asyncio.sleep(0)
        bad = asyncio.create_task(hall.accept(numbered(2, payload=object())))
        also_good = asyncio.create_task(hall.accept(numbered(3)))
        await asyncio.sleep(0)
        hall.gate.set()
        assert [(await task).event for task in (good, also_good)] == ["ev_1", "ev_3"]
        with pytest.raises(TypeError):
            await bad
        assert await hall.read(texts) == ["hi 1", "hi 3"]

    in_hall(tmp_path, body)


def test_a_long_run_is_stored_running_and_hinted_as_unfinished(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        every = flow(
            'steps: [{for_each: event.payload, as: x, steps: [{send: {to: "0555 123 45 67", text: "{{ x }}"}}]}]'
        )
        receipt = await hall.accept(numbered(1, payload=[1, 2, 3]), every)
        stored = await hall.read(load_run, receipt.run)
        assert (stored.state, hall.unfinished, hall.ended) == (RunState.RUNNING, [receipt.run], [])
        assert stored.progress.messages == 2
        assert await hall.read(texts) == ["1", "2"]

    in_hall(tmp_path, body, limits=Bounds(messages=2))


def test_when_too_much_waits_senders_are_told_to_come_again(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        hall.gate.clear()
        accepting = [asyncio.create_task(hall.accept(numbered(number))) for number in range(3)]
        while not hall.batches:
            await asyncio.sleep(0)
        with pytest.raises(StoreBusy):
            await hall.accept(numbered(9))
        hall.gate.set()
        await asyncio.gather(*accepting)
        assert (await hall.accept(numbered(10))).first

    in_hall(tmp_path, body, waiting=3)


@pytest.mark.parametrize("error", [StoreBusy("busy"), StoreBroken("broken"), StoreClosed("closed")])
def test_when_the_store_refuses_everybody_in_the_batch_hears_why(tmp_path: Path, error: Exception) -> None:
    async def body(hall: Hall) -> None:
        hall.refuse = error
        results = await asyncio.gather(*(hall.accept(numbered(number)) for number in range(3)), return_exceptions=True)
        assert results == [error] * 3
        assert hall.ended == []  # a look that finds nothing does no harm, so senders may have been told
        hall.refuse = None
        assert (await hall.accept(numbered(1))).first

    in_hall(tmp_path, body)


def test_a_sender_that_goes_away_does_not_take_its_event_along(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        hall.gate.clear()
        gone = asyncio.create_task(hall.accept(numbered(1)))
        while not hall.batches:
            await asyncio.sleep(0)
        gone.cancel()
        hall.gate.set()
        await hall.accept(numbered(2))
        assert await hall.read(texts) == ["hi 1", "hi 2"]

    in_hall(tmp_path, body)


def test_close_stores_what_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    async def body(hall: Hall) -> None:
        accepting = [asyncio.create_task(hall.accept(numbered(number))) for number in range(3)]
        await asyncio.sleep(0)
        await hall.intake.close()
        assert await hall.read(texts) == ["hi 0", "hi 1", "hi 2"]
        with pytest.raises(StoreClosed):
            await hall.accept(numbered(9))
        await asyncio.gather(*accepting)

    in_hall(tmp_path, body)


def test_a_flows_log_lines_are_written_after_the_commit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="conwp_bot.flow")

    async def body(hall: Hall) -> None:
        by = flow('steps: [{log: "got {{ event.payload }}"}]')
        hall.refuse = StoreBusy("busy")
        with pytest.raises(StoreBusy):
            await hall.accept(numbered(1), by)
        assert "got" not in caplog.text
        hall.refuse = None
        await hall.accept(numbered(2), by)
        assert "got 2" in caplog.text

    in_hall(tmp_path, body)
