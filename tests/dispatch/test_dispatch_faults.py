"""Faults that a review found: lanes that stand still, leases that end too soon, waits that outlive their cause."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from test_dispatch_delivery import START, Bench, account, on_bench, received

from conwp_bot.dispatch import door as door_module
from conwp_bot.dispatch.door import GRACE
from conwp_bot.errors import StoreBroken
from conwp_bot.model.budget import Limit
from conwp_bot.model.delivery import DeliveryClass, OnUnknown, policy_for
from conwp_bot.store import catalog
from conwp_bot.store.outbox import all_waits
from conwp_bot.store.schema import messages, requests
from conwp_bot.testing.filling import fill


async def eventually(check: Any, what: str, tries: int = 1000) -> None:
    for _ in range(tries):
        if await check():
            return
        await asyncio.sleep(0.002)
    raise AssertionError(what)


def test_a_lane_goes_on_after_its_concurrency_was_lowered(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 12, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.2, "times": 4}])
        one = account(bench, concurrency=4)
        async with bench.dispatching(one) as dispatcher:
            await bench.until(lambda s: s.get("in_flight") == 4 and s.get("claimed", 0) > 1, "under way")
            narrow = replace(one, settings=replace(one.settings, concurrency=1))
            await dispatcher.set_accounts({"default": narrow})
            await bench.until(lambda s: s.get("accepted", 0) >= 4, "the first four")
            for _ in range(30):
                await bench.clock.walk(timedelta(minutes=1))
                dispatcher.wake()
                await asyncio.sleep(0.01)
            await bench.until(lambda s: s == {"accepted": 12}, "the lane stands still")

    on_bench(tmp_path, body)


def test_a_request_under_way_is_not_called_unknown_for_having_waited_for_its_turn(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        one = account(bench, concurrency=2, timeout=timedelta(seconds=60))
        async with bench.dispatching(one) as dispatcher:
            await fill(
                bench.store, 60, bench.clock.now(), flow="quick"
            )  # the API answers at once: a lot is claimed ahead
            dispatcher.wake()
            await bench.until(lambda s: s == {"accepted": 60}, "quick ones")
            bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.25, "times": None}])  # stands for 55 s
            await fill(bench.store, 14, bench.clock.now(), flow="slow")
            dispatcher.wake()
            for done in range(62, 76, 2):
                await bench.until(lambda s: s.get("in_flight", 0) >= 2 or s.get("accepted", 0) >= 74, "in flight")
                bench.clock.advance(timedelta(seconds=55))
                await bench.until(lambda s, done=done: s.get("accepted", 0) + s.get("held", 0) >= done, "answered")
            await bench.until(lambda s: not s.get("in_flight") and not s.get("claimed"), "ended")
            assert await bench.states() == {"accepted": 74}
        assert len(received(bench)) == 74

    on_bench(tmp_path, body)


def test_a_late_answer_is_not_taken_for_that_of_the_second_sending(tmp_path: Path) -> None:
    """The machine slept: the lease of a request is over, it is sent once more by policy, and then the first answer comes."""

    async def body(bench: Bench) -> None:
        await fill(bench.store, 1, bench.clock.now(), klass=DeliveryClass.ALERT, on_unknown=OnUnknown.RESEND)
        bench.sandbox.set_faults(
            [{"kind": "cut_after", "seconds": 0.4, "times": 1}, {"kind": "latency", "seconds": 1.0, "times": None}]
        )
        async with bench.dispatching(account(bench, timeout=timedelta(seconds=5))):
            await bench.until(lambda s: s == {"in_flight": 1}, "first")
            bench.clock.advance(timedelta(hours=8))
            await eventually(lambda: _count(bench, 2), "the second sending has not begun")
            await asyncio.sleep(0.5)  # the first is cut, and so unknown; the second is still under way
            assert await bench.states() == {"in_flight": 1}
            await bench.until(lambda s: not s.get("in_flight"), "the second")
            assert await bench.states() == {"accepted": 1}
        assert len(received(bench)) == 2

    on_bench(tmp_path, body)


async def _count(bench: Bench, count: int) -> bool:
    rows = await bench.rows(messages.c.state)
    return len(await bench.rows(requests.c.id)) == count and rows[0].state == "in_flight"


def test_an_answer_that_comes_after_the_lease_is_evidence(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 1, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.4, "times": 1}])
        async with bench.dispatching(account(bench)):
            await bench.until(lambda s: s == {"in_flight": 1}, "first")
            bench.clock.advance(timedelta(hours=8))  # the machine slept
            await bench.until(lambda s: s == {"held": 1}, "held")
            await bench.until(lambda s: s == {"accepted": 1}, "the answer was there, and nobody believed it")

    on_bench(tmp_path, body)


def test_a_small_limit_is_used_as_it_is(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.05, "times": None}])
        await fill(bench.store, 10, bench.clock.now())
        async with bench.dispatching(account(bench, "1/3s")) as dispatcher:
            for _ in range(60):  # seconds
                await asyncio.sleep(0.02)
                dispatcher.wake()  # something comes in while a request is under way
                await asyncio.sleep(0.05)
                await bench.clock.walk(timedelta(seconds=1))
        assert len(received(bench)) == 10, len(received(bench))

    on_bench(tmp_path, body)


def test_a_hint_that_comes_before_the_round_it_missed_is_over_is_kept(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        async with bench.dispatching(account(bench)) as dispatcher:
            await asyncio.sleep(0.05)
            dispatcher.wake()  # queues a look, and behind it comes a message, before the lane has had its turn
            storing = fill(bench.store, 1, bench.clock.now())
            with suppress(StopIteration):
                storing.send(None)
            dispatcher.wake()
            storing.close()
            await bench.until(lambda s: s == {"accepted": 1}, "the hint is lost: until the next poll nobody looks")

    on_bench(tmp_path, body)


def test_an_expired_message_is_not_tried_again_and_again(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.clock.settle()
        async with bench.dispatching(account(bench)) as dispatcher:
            # Made after the reclaimer looked, and over before it looks again.
            await fill(bench.store, 1, bench.clock.now(), expires=timedelta(seconds=2))
            bench.clock.advance(timedelta(seconds=3))
            connections = []
            door = dispatcher._door
            send = door.send

            async def counted(*args: Any, **kwargs: Any) -> Any:
                connections.append(1)
                return await send(*args, **kwargs)

            door.send = counted  # type: ignore[method-assign]
            dispatcher.wake()
            await asyncio.sleep(0.5)
            assert len(connections) <= 2, len(connections)

    on_bench(tmp_path, body)


def test_a_raised_flow_limit_holds_at_once(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        now = bench.clock.now()

        def live(limit: str) -> catalog.LiveFlow:
            version = catalog.FlowVersion("f", "f.yaml", "", "Europe/Istanbul", "tr_TR")
            return catalog.LiveFlow(limit, version, policy_for(limit=Limit.parse(limit)))

        await bench.store.do(catalog.put_flows, [live("1/day")], now)
        await fill(bench.store, 3, now, flow="f")
        async with bench.dispatching(account(bench)) as dispatcher:
            await bench.until(lambda s: s == {"accepted": 1, "pending": 2}, "one")
            for _ in range(100):
                if await bench.store.read(all_waits):
                    break
                dispatcher.wake()
                await bench.clock.walk(timedelta(seconds=5))
                await asyncio.sleep(0.01)
            await bench.store.do(catalog.put_flows, [live("100/day")], now)
            for _ in range(20):
                dispatcher.wake()
                await bench.clock.walk(timedelta(seconds=5))
                await asyncio.sleep(0.01)
            await bench.until(lambda s: s == {"accepted": 3}, "still waiting for the old limit")

    on_bench(tmp_path, body)


def test_parallel_429s_are_one_refusal(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 8, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "status", "status": 429, "times": 4}])
        async with bench.dispatching(account(bench, concurrency=4)):
            await bench.sandbox.wait_for_receipts(4)
            await bench.quiet()
            [wait] = [w for w in await bench.store.read(all_waits) if w.scope == "account"]
            assert wait.until <= START + timedelta(seconds=60), wait

    on_bench(tmp_path, body)


def test_the_old_keys_answer_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 2, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.3, "times": 1}])
        async with bench.dispatching(account(bench, key="wrong", concurrency=1)) as dispatcher:
            await bench.until(lambda s: s.get("in_flight") == 1, "under way")
            mended = account(bench, key="right", concurrency=1)
            bench.clients.append(mended.client)  # type: ignore[arg-type]
            await dispatcher.set_accounts({"default": mended})
            await bench.until(lambda s: s == {"accepted": 2}, "parked for the old key's sake")

    on_bench(tmp_path, body, keys=frozenset({"right"}))


def test_a_question_without_an_answer_ends_as_late_as_the_provider_may(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.sandbox.set_faults([{"kind": "cut_after", "times": None}])
        async with bench.dispatching(account(bench)) as dispatcher:
            await dispatcher._door.status("default")
        [row] = await bench.rows(requests.c.ended_at, requests.c.outcome)
        assert (row.outcome, row.ended_at) == ("unknown", START + GRACE)

    on_bench(tmp_path, body)


def test_a_clock_that_was_a_year_ahead_does_not_silence_an_account_for_a_year(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.clock.set(START + timedelta(days=365))
        await fill(bench.store, 10, bench.clock.now())
        async with bench.dispatching(account(bench, "10/hour")):
            await bench.until(lambda s: s == {"accepted": 10}, "ten")
        bench.clock.set(START)
        await fill(bench.store, 5, bench.clock.now())
        async with bench.dispatching(account(bench, "10/hour")):
            for _ in range(20):
                await bench.clock.walk(timedelta(minutes=4))
                await asyncio.sleep(0.01)
            await bench.until(lambda s: s == {"accepted": 15}, "no budget for a year")

    on_bench(tmp_path, body)


def test_a_database_that_was_locked_for_a_moment_delays_a_message_for_a_moment(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 1, bench.clock.now())
        do, failed = bench.store.do, []

        async def once_broken(unit: Any, *args: Any, **kwargs: Any) -> Any:
            if unit is door_module.reserve_unit and not failed:
                failed.append(1)
                raise StoreBroken("database is locked")
            return await do(unit, *args, **kwargs)

        bench.store.do = once_broken  # type: ignore[method-assign]
        async with bench.dispatching(account(bench)):
            for _ in range(10):
                await asyncio.sleep(0.02)
                await bench.clock.walk(timedelta(seconds=1))
            await bench.until(lambda s: s == {"accepted": 1}, "claimed until its lease is over")

    on_bench(tmp_path, body)
