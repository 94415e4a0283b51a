"""The cron source: each slot once, through restarts, reloads, a busy store and a clock that jumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from triggers_kit import ISTANBUL, RememberedIntake, flow, flow_set

from conwp_bot.flows.flow import CatchUp, CronTrigger, FlowSet
from conwp_bot.ids import Ids
from conwp_bot.testing.clock import MovedClock
from conwp_bot.triggers.cron import CronSource

NINE = CronTrigger("morning", "0 9 * * *", ISTANBUL)
START = datetime(2026, 6, 1, 8, 0, tzinfo=ISTANBUL).astimezone(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@asynccontextmanager
async def running(intake: RememberedIntake, clock: MovedClock, flows: FlowSet) -> AsyncIterator[CronSource]:
    source = CronSource(intake, intake, clock, Ids())
    source.set_flows(flows)
    await source.start()
    try:
        yield source
    finally:
        stopping = asyncio.create_task(source.stop())
        await clock.settle()
        await stopping


def hours(intake: RememberedIntake) -> list[str]:
    return [event.data["scheduled_at"].astimezone(ISTANBUL).strftime("%d %H:%M") for event in intake.events]


def test_each_slot_becomes_one_event_with_its_cursor() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set(flow("a", NINE))) as source:
            await clock.settle()
            assert source.next_slots() == {("a", "morning"): START + HOUR}
            await clock.walk(3 * DAY)
            assert hours(intake) == ["01 09:00", "02 09:00", "03 09:00"]
            event = intake.events[0]
            assert (event.kind, event.key) == ("cron", "slot:2026-06-01T06:00:00+00:00")
            assert event.occurred_at == START + HOUR
            assert intake.stored["a", "morning"].done_until == START + HOUR + 2 * DAY
            assert source.next_slots() == {("a", "morning"): START + HOUR + 3 * DAY}

    asyncio.run(go())


def test_after_a_restart_what_was_missed_is_caught_up_from_the_cursor() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        every = CronTrigger("all", "0 9 * * *", ISTANBUL, CatchUp.ALL)
        none = CronTrigger("none", "0 9 * * *", ISTANBUL, CatchUp.NONE)
        flows = flow_set(flow("a", NINE, every, none))
        async with running(intake, clock, flows):
            await clock.settle()
        clock.advance(3 * DAY)
        async with running(intake, clock, flows):
            await clock.settle()
        assert [event.trigger for event in intake.events] == ["morning", "all", "all", "all"]
        assert hours(intake) == ["03 09:00", "01 09:00", "02 09:00", "03 09:00"]
        assert {cursor.done_until for cursor in intake.stored.values()} == {START + HOUR + 2 * DAY}

    asyncio.run(go())


def test_a_new_schedule_and_a_changed_one_begin_now() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set()) as source:
            clock.advance(DAY)
            source.set_flows(flow_set(flow("a", NINE)))
            await clock.settle()
            source.set_flows(flow_set(flow("a", CronTrigger("morning", "30 7 * * *", ISTANBUL))))
            await clock.settle()
        assert intake.events == []
        clock.advance(2 * HOUR)
        # Changed while nothing ran: its cursor was of another schedule.
        async with running(intake, clock, flow_set(flow("a", NINE))):
            await clock.settle()
        assert intake.events == []

    asyncio.run(go())


def test_a_flow_that_is_gone_fires_no_more() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set(flow("a", NINE), flow("b", NINE))) as source:
            source.set_flows(flow_set(flow("b", NINE)))
            await clock.walk(2 * HOUR)
            assert [event.flow for event in intake.events] == ["b"]

    asyncio.run(go())


def test_a_changed_flow_with_the_same_schedule_keeps_its_cursor() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set(flow("a", NINE))) as source:
            await clock.settle()
            clock.advance(HOUR - timedelta(seconds=1))
            source.set_flows(
                flow_set(flow("a", CronTrigger("morning", "0 9 * * *", ISTANBUL, spread=timedelta(minutes=9))))
            )
            await clock.walk(HOUR)
            assert hours(intake) == ["01 09:00"]
            assert intake.events[0].occurred_at > START + HOUR

    asyncio.run(go())


def test_a_busy_store_delays_a_slot_but_never_loses_it() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set(flow("a", NINE))):
            intake.busy = 5
            await clock.walk(2 * HOUR)
            assert intake.tries == 6
            assert hours(intake) == ["01 09:00"]

    asyncio.run(go())


def test_a_store_busy_at_the_stop_leaves_the_slot_due_for_the_next_start() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        flows = flow_set(flow("a", NINE))
        async with running(intake, clock, flows):
            intake.busy = 1000
            await clock.walk(HOUR)
        assert intake.events == []
        intake.busy = 0
        async with running(intake, clock, flows):
            await clock.settle()
        assert hours(intake) == ["01 09:00"]

    asyncio.run(go())


def test_a_clock_set_back_fires_no_slot_twice() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        async with running(intake, clock, flow_set(flow("a", NINE))):
            await clock.walk(HOUR)
            clock.set(START)
            await clock.walk(2 * HOUR)
            assert hours(intake) == ["01 09:00"]
            await clock.walk(DAY)
            assert hours(intake) == ["01 09:00", "02 09:00"]

    asyncio.run(go())


def test_a_clock_that_was_years_ahead_silences_a_schedule_until_the_next_look_at_most() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        flows = flow_set(flow("a", NINE))
        async with running(intake, clock, flows) as source:
            await clock.settle()
            clock.set(START + 3650 * DAY)
            await clock.settle()
            assert len(intake.events) == 1
            clock.set(START)
            source.set_flows(flows)
            await clock.walk(DAY)
            assert len(intake.events) == 2
            assert hours(intake)[1] == "01 09:00"

    asyncio.run(go())


def test_a_thousand_schedules_cost_nothing_while_they_wait() -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(START)
        flows = flow_set(
            *(flow(f"f{number}", CronTrigger("t", f"{number % 60} 12 * * *", ISTANBUL)) for number in range(1000))
        )
        async with running(intake, clock, flows):
            assert len(intake.stored) == 1000
            before = time.process_time()
            await clock.walk(2 * HOUR)
            assert time.process_time() - before < 0.5
            assert intake.events == []
            await clock.walk(3 * HOUR)
            assert len(intake.events) == 1000

    asyncio.run(go())
