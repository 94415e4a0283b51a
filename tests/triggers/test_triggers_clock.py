"""The test clock keeps the contract of `Clock`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from conwp_bot.clock import Clock
from conwp_bot.testing.clock import MovedClock

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def test_a_wait_ends_when_its_time_has_come_and_not_before() -> None:
    async def go() -> None:
        clock: Clock = (moved := MovedClock(NOON))
        waiting = asyncio.create_task(clock.wait(asyncio.Event(), NOON + timedelta(minutes=5)))
        await moved.settle()
        moved.advance(timedelta(minutes=4, seconds=59))
        await moved.settle()
        assert not waiting.done()
        moved.advance(timedelta(seconds=1))
        assert await waiting is False

    asyncio.run(go())


def test_a_wait_ends_at_once_when_its_event_is_set() -> None:
    async def go() -> None:
        clock = MovedClock(NOON)
        event = asyncio.Event()
        waiting = asyncio.create_task(clock.wait(event, None))
        await clock.settle()
        event.set()
        assert await waiting is True
        assert event.is_set()
        assert await clock.wait(event, NOON) is True
        assert clock.next_deadline is None

    asyncio.run(go())


def test_a_wall_clock_set_back_wakes_nobody_early() -> None:
    async def go() -> None:
        clock = MovedClock(NOON)
        waiting = asyncio.create_task(clock.wait(asyncio.Event(), NOON + timedelta(minutes=5)))
        await clock.settle()
        before = clock.monotonic()
        clock.set(NOON - timedelta(hours=1))
        await clock.settle()
        assert not waiting.done()
        assert clock.monotonic() == before
        clock.set(NOON + timedelta(hours=1))
        assert await waiting is False

    asyncio.run(go())


def test_walking_wakes_each_waiter_at_its_own_instant() -> None:
    async def go() -> None:
        clock = MovedClock(NOON)
        seen: list[datetime] = []

        async def every_ten_minutes() -> None:
            while True:
                await clock.wait(asyncio.Event(), clock.now() + timedelta(minutes=10))
                seen.append(clock.now())

        task = asyncio.create_task(every_ten_minutes())
        await clock.walk(timedelta(minutes=35))
        task.cancel()
        assert seen == [NOON + timedelta(minutes=m) for m in (10, 20, 30)]
        assert clock.now() == NOON + timedelta(minutes=35)

    asyncio.run(go())
