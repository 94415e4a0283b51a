"""Dispatch on a real store against a real sandbox over HTTP, with a clock that is moved."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import or_, select

from conwp_bot.api.client import ConwpClient
from conwp_bot.dispatch.dispatcher import Dispatcher
from conwp_bot.dispatch.door import Account, Door
from conwp_bot.ids import Ids
from conwp_bot.model.budget import Limit
from conwp_bot.model.delivery import DeliveryClass, OnUnknown
from conwp_bot.model.secret import Secret
from conwp_bot.sandbox import Sandbox, SandboxOptions, WindowKind
from conwp_bot.settings import AccountSettings, Bulk
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.outbox import all_waits
from conwp_bot.store.schema import attempts, flows, messages, requests
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.testing.clock import MovedClock
from conwp_bot.testing.filling import fill

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def account(bench: "Bench", limit: str = "1000/hour", key: str | None = "k", **rest: Any) -> Account:
    settings = AccountSettings(
        name="default",
        base_url=bench.sandbox.base_url,
        api_key=Secret(key) if key else None,
        key_source="${KEY}",
        limit=Limit.parse(limit),
        bulk=Bulk.OFF,
        bulk_max=20,
        concurrency=4,
        timeout=timedelta(seconds=5),
        pace=None,
    )
    settings = replace(settings, **rest)
    client = None
    if settings.api_key:
        client = ConwpClient(settings.base_url, settings.api_key, timeout=settings.timeout, clock=bench.clock)
    return Account(settings, client)


@dataclass
class Bench:
    """A store and a sandbox that outlive dispatchers, as files and ConWP outlive a daemon."""

    store: SqliteStore
    sandbox: Sandbox
    clock: MovedClock
    starts: int = 0
    clients: list[ConwpClient] = field(default_factory=list)

    @asynccontextmanager
    async def dispatching(self, one: Account, *, crash: bool = False) -> Any:
        self.starts += 1
        accounts = {"default": one}
        if one.client is not None:
            self.clients.append(one.client)
        door = Door(self.store, accounts, clock=self.clock, ids=Ids(), jitter=lambda: 0.0)
        dispatcher = Dispatcher(
            self.store, door, accounts, clock=self.clock, holder=f"start-{self.starts}", jitter=lambda: 0.0
        )
        await dispatcher.start()
        try:
            yield dispatcher
        finally:
            if crash:
                for lane in dispatcher._lanes.values():
                    for task in list(lane._requests):
                        task.cancel()
                    await asyncio.gather(*lane._requests, return_exceptions=True)
            await dispatcher.stop(5.0)

    async def states(self) -> dict[str, int]:
        def query(conn: Any) -> dict[str, int]:
            found: dict[str, int] = {}
            for state in conn.execute(select(messages.c.state)).scalars():
                found[state] = found.get(state, 0) + 1
            return found

        return await self.store.read(query)

    async def until(self, wanted: Callable[[dict[str, int]], bool], what: str) -> None:
        """Wait for the stored states to be as wanted; real I/O goes on, time stands still."""
        for _ in range(2000):
            if wanted(await self.states()):
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"{what}: {await self.states()}")

    async def quiet(self) -> None:
        """Wait until nothing is claimed or in flight, and nothing is due that is not waiting for the account."""

        def busy(conn: Any) -> bool:
            now = self.clock.now()
            if any(wait.scope == "account" and wait.until > now for wait in all_waits(conn)):
                due = []
            else:
                due = [(messages.c.state == "pending") & (messages.c.not_before <= now) & (messages.c.expires_at > now)]
            working = messages.c.state.in_(["claimed", "in_flight"])
            return conn.execute(select(messages.c.id).where(or_(working, *due)).limit(1)).scalar() is not None

        for _ in range(2000):
            if not await self.store.read(busy):
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"still busy: {await self.states()}")

    async def rows(self, *columns: Any) -> list[Any]:
        return await self.store.read(lambda conn: list(conn.execute(select(*columns))))


def on_bench(path: Path, body: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        clock = MovedClock(START)
        async with AsyncExitStack() as stack:
            store = await open_sqlite(path / "a.db")
            stack.push_async_callback(store.close)
            sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(**options), clock=clock))
            bench = Bench(store, sandbox, clock)
            await body(bench)
            for client in bench.clients:
                await client.aclose()

    asyncio.run(main())


def received(bench: Bench) -> list[str]:
    return [message.text for receipt in bench.sandbox.receipts for message in receipt.messages if message.accepted]


def test_every_message_is_accepted_once_and_says_so(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 25, bench.clock.now())
        async with bench.dispatching(account(bench)):
            await bench.until(lambda s: s == {"accepted": 25}, "not all accepted")
        assert sorted(received(bench)) == sorted(f"message {n}" for n in range(25))
        rows = await bench.rows(messages.c.provider_id, messages.c.accepted_at, messages.c.lease)
        assert len({row.provider_id for row in rows}) == 25
        assert {(row.accepted_at, row.lease) for row in rows} == {(START, None)}
        ledger = await bench.rows(requests.c.outcome, requests.c.ended_at)
        assert [tuple(row) for row in ledger] == [("accepted", START)] * 25
        assert len(await bench.rows(attempts.c.message)) == 25

    on_bench(tmp_path, body)


@pytest.mark.parametrize("window", list(WindowKind))
def test_the_server_never_sees_more_than_the_limit_in_any_hour_over_restarts(
    tmp_path: Path, window: WindowKind
) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 60, bench.clock.now())
        for start in range(8):
            async with bench.dispatching(account(bench, "10/hour"), crash=start % 2 == 1):
                for _ in range(7):
                    await bench.quiet()
                    bench.clock.advance(timedelta(minutes=11))
        instants = [receipt.time for receipt in bench.sandbox.receipts]
        for first in instants:
            assert sum(1 for instant in instants if first <= instant < first + HOUR) <= 10
        assert len(instants) >= 55
        assert not [receipt for receipt in bench.sandbox.receipts if receipt.status == 429]

    on_bench(tmp_path, body, limit=Limit(10, HOUR), window=window)


def test_what_waits_for_the_budget_says_until_when(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 5, bench.clock.now())
        async with bench.dispatching(account(bench, "2/hour")):
            await bench.until(lambda s: s.get("accepted") == 2, "two fit")
            for _ in range(200):
                waits = await bench.store.read(all_waits)
                if waits:
                    break
                await asyncio.sleep(0.005)
            assert [(w.scope, w.name, w.because, w.until) for w in waits] == [
                ("account", "default", "budget", START + HOUR)
            ]

    on_bench(tmp_path, body)


def test_a_cut_after_the_body_is_unknown_and_goes_by_the_flows_policy(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        now = bench.clock.now()
        for policy in OnUnknown:
            await fill(bench.store, 1, now, flow=policy.value, on_unknown=policy, text=policy.value)
        bench.sandbox.set_faults([{"kind": "cut_after", "times": 3}])
        async with bench.dispatching(account(bench, concurrency=1)):
            await bench.until(
                lambda s: not s.get("pending") and not s.get("in_flight") and not s.get("claimed"), "busy"
            )
        rows = {
            row.flow: row
            for row in await bench.rows(messages.c.flow, messages.c.state, messages.c.resends, messages.c.reason)
        }
        assert (rows["hold"].state, rows["drop"].state) == ("held", "cancelled")
        assert (rows["resend"].state, rows["resend"].resends) == ("accepted", 1)
        assert "may have gone out" in rows["hold"].reason
        assert sorted(received(bench)) == ["drop", "hold", "resend", "resend"]

    on_bench(tmp_path, body)


def test_a_refused_key_parks_the_account_and_a_mended_one_goes_on_without_a_restart(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 3, bench.clock.now())
        async with bench.dispatching(account(bench, key="wrong")) as dispatcher:
            for _ in range(500):
                waits = await bench.store.read(all_waits)
                if waits:
                    break
                await asyncio.sleep(0.005)
            assert [(w.because, "401" in (w.detail or "")) for w in waits] == [("refused", True)]
            await bench.quiet()
            assert await bench.states() == {"pending": 3}
            tried = len(bench.sandbox.receipts)
            assert 1 <= tried <= 4
            mended = account(bench, key="right")
            bench.clients.append(mended.client)  # type: ignore[arg-type]
            await dispatcher.set_accounts({"default": mended})
            await bench.until(lambda s: s == {"accepted": 3}, "not resumed")

    on_bench(tmp_path, body, keys=frozenset({"right"}))


def test_an_account_without_a_key_sends_nothing_and_its_messages_wait(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 1, bench.clock.now())
        async with bench.dispatching(account(bench, key=None)) as dispatcher:
            await bench.clock.walk(timedelta(minutes=5))
            assert await bench.states() == {"pending": 1}
            keyed = account(bench)
            bench.clients.append(keyed.client)  # type: ignore[arg-type]
            await dispatcher.set_accounts({"default": keyed})
            await bench.until(lambda s: s == {"accepted": 1}, "not resumed")

    on_bench(tmp_path, body)


def test_a_429_is_no_failure_of_the_message_and_is_obeyed(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 2, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "status", "status": 429, "retry_after": 30, "times": 1}])
        async with bench.dispatching(account(bench, concurrency=1)):
            await bench.sandbox.wait_for_receipts(1)
            await bench.quiet()
            await bench.clock.settle()
            bench.clock.advance(timedelta(seconds=29))
            await bench.clock.settle()
            await asyncio.sleep(0.02)
            assert len(bench.sandbox.receipts) == 1
            bench.clock.advance(timedelta(seconds=2))
            await bench.until(lambda s: s == {"accepted": 2}, "not resumed")
        assert {row.tries for row in await bench.rows(messages.c.tries)} == {0}

    on_bench(tmp_path, body)


def test_a_message_that_is_invalid_fails_at_once_and_one_that_is_turned_down_after_its_attempts(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        now = bench.clock.now()
        await fill(bench.store, 1, now, flow="bad", recipients=["905550000001"])
        await fill(bench.store, 1, now, flow="offline", recipients=["905550000002"])
        bench.sandbox.set_faults(
            [
                {
                    "kind": "status",
                    "status": 400,
                    "receiver": "905550000001",
                    "body": {"success": False, "error": "no such"},
                },
                {"kind": "success_false", "receiver": "905550000002", "times": None},
            ]
        )
        async with bench.dispatching(account(bench)):
            for _ in range(60):
                await bench.quiet()
                if not (await bench.states()).get("pending"):
                    break
                bench.clock.advance(timedelta(minutes=5))
        rows = {
            row.flow: row
            for row in await bench.rows(messages.c.flow, messages.c.state, messages.c.reason, messages.c.tries)
        }
        assert rows["bad"].state == rows["offline"].state == "failed"
        assert "no such" in rows["bad"].reason
        assert rows["offline"].tries == 8
        assert rows["offline"].reason.startswith("not sent after 8 attempts")

    on_bench(tmp_path, body)


def test_when_nobody_answers_the_door_messages_wait_and_cost_no_budget(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 2, bench.clock.now())
        one = account(bench)
        await bench.sandbox.stop()
        async with bench.dispatching(one):
            await bench.until(lambda s: s == {"pending": 2}, "given back")
            for _ in range(500):
                if all(row.faults for row in await bench.rows(messages.c.faults)):
                    break
                await asyncio.sleep(0.005)
            assert await bench.rows(requests.c.id) == []
        assert {row.tries for row in await bench.rows(messages.c.tries)} == {0}
        assert all("not sent" in row.reason for row in await bench.rows(messages.c.reason))

    on_bench(tmp_path, body)


def test_a_message_that_was_not_accepted_in_time_expires_with_its_last_reason(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 3, bench.clock.now(), expires=timedelta(minutes=30))
        async with bench.dispatching(account(bench, "1/hour")):
            await bench.until(lambda s: s.get("accepted") == 1, "one fits")
            await bench.quiet()
            bench.clock.advance(timedelta(minutes=31))
            await bench.until(lambda s: s == {"accepted": 1, "expired": 2}, "not expired")
        assert len(bench.sandbox.receipts) == 1

    on_bench(tmp_path, body)


def test_after_a_crash_claims_go_back_and_what_was_in_flight_is_unknown(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 6, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "hang", "times": None}])
        async with bench.dispatching(account(bench, concurrency=2), crash=True):
            await bench.until(lambda s: s.get("in_flight") == 2, "not under way")
        assert (await bench.states())["in_flight"] == 2
        bench.sandbox.set_faults([])
        async with bench.dispatching(account(bench)):
            await bench.until(lambda s: s == {"held": 2, "accepted": 4}, "not put right")
        assert len(received(bench)) == 4

    on_bench(tmp_path, body)


def test_a_flows_own_limit_lets_others_pass_and_drops_what_is_over_if_asked(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        now = bench.clock.now()

        def limit_flows(conn: Any) -> None:
            common = {"hash": "h", "live": True, "account": "default", "klass": "normal", "loaded_at": now}
            conn.execute(
                flows.insert(),
                [
                    {"id": "waits", "limit_count": 2, "limit_span_ms": 3_600_000, "over_limit": "wait", **common},
                    {"id": "drops", "limit_count": 2, "limit_span_ms": 3_600_000, "over_limit": "drop", **common},
                ],
            )

        await bench.store.do(limit_flows)
        for flow in ("waits", "drops", "free"):
            await fill(bench.store, 5, now, flow=flow, text=flow)
        async with bench.dispatching(account(bench)):
            await bench.until(lambda s: s == {"accepted": 9, "cancelled": 3, "pending": 3}, "limits")
            assert sorted(received(bench)) == ["drops"] * 2 + ["free"] * 5 + ["waits"] * 2
            bench.clock.advance(HOUR + timedelta(seconds=1))
            await bench.until(lambda s: s == {"accepted": 11, "cancelled": 3, "pending": 1}, "the next two")

    on_bench(tmp_path, body)


def test_alerts_go_before_what_waited_longer(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 5, bench.clock.now(), flow="a", text="normal")
        await fill(bench.store, 2, bench.clock.now(), flow="z", klass=DeliveryClass.ALERT, text="alert")
        async with bench.dispatching(account(bench, concurrency=1)):
            await bench.until(lambda s: s == {"accepted": 7}, "all")
        assert received(bench)[:2] == ["alert"] * 2

    on_bench(tmp_path, body)


def test_a_bulk_request_shares_one_slot_and_a_partial_one_makes_all_of_it_unknown(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 4, bench.clock.now())
        one = account(bench, "2/hour", bulk=Bulk.ALWAYS, bulk_max=2)
        bench.sandbox.set_faults([{"kind": "partial_bulk", "failed": 1, "times": 1, "skip": 1}])
        async with bench.dispatching(replace(one, settings=replace(one.settings, concurrency=1))):
            await bench.until(lambda s: s == {"accepted": 2, "held": 2}, "two requests")
        assert [row.share for row in await bench.rows(attempts.c.share)] == [0.5] * 4
        assert [receipt.endpoint for receipt in bench.sandbox.receipts] == ["send-bulk-message"] * 2

    on_bench(tmp_path, body)


def test_a_stop_waits_for_the_answer_of_what_is_in_flight(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await fill(bench.store, 3, bench.clock.now())
        bench.sandbox.set_faults([{"kind": "latency", "seconds": 0.3, "times": None}])
        async with bench.dispatching(account(bench, concurrency=1)):
            await bench.until(lambda s: s.get("in_flight") == 1, "under way")
        assert await bench.states() == {"accepted": 1, "pending": 2}

    on_bench(tmp_path, body)
