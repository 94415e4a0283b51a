"""The daemon as a whole, in this process: what comes in goes out, and it stops in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from app_kit import free_port, get, hook, in_state, make_site, post, running, state_of, states, texts, until

from conwp_bot.app.daemon import SandboxChoice, start_daemon
from conwp_bot.app.engine import DATABASE, patience
from conwp_bot.clock import SystemClock
from conwp_bot.errors import AlreadyRunning, ConwpBotError
from conwp_bot.flows.flow import CronTrigger
from conwp_bot.model.event import SlotMark
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import put_marks
from conwp_bot.triggers.schedule import spec_of

CRON = """\
triggers: [{cron: "* * * * *"}]
steps: [{send: {to: 0555 123 45 67, text: "cron {{ event.scheduled_at | time('HH:mm') }}"}}]
"""
FILE = """\
triggers: [{file: inbox/*.csv, settle: 50ms}]
steps: [{for_each: event.rows, as: row, steps: [{send: {to: "{{ row.to }}", text: "file {{ row.n }}"}}]}]
"""


def test_each_kind_of_trigger_leads_to_a_message_at_the_sandbox(tmp_path: Path) -> None:
    site = make_site(tmp_path, {"cron": CRON, "hook": hook(), "file": FILE})

    async def main() -> None:
        # The schedule's cursor two minutes back, as if we had been away: its newest slot is caught up at the start.
        trigger = CronTrigger("cron", "* * * * *", site.settings().timezone)
        mark = SlotMark("cron", trigger.id, spec_of(trigger), datetime.now(UTC) - timedelta(minutes=2))
        (site.data / "sandbox").mkdir(parents=True)
        store = await open_sqlite(site.data / "sandbox" / DATABASE)
        await store.do(put_marks, [mark])
        await store.close()
        (tmp_path / "inbox").mkdir(exist_ok=True)
        (tmp_path / "inbox/a.csv").write_text("to;n\n0555 123 45 67;1\n0555 123 45 68;2\n")
        async with running(site) as daemon:
            answer = await post(daemon.web_address, "hook", "x")
            assert answer.status_code == 202
            assert answer.json()["event"].startswith("ev_")
            await until(lambda: len(texts(daemon)) >= 4)
            kinds = [text.split()[0] for text in texts(daemon)]
            assert {kind: kinds.count(kind) for kind in set(kinds)} == {"cron": 1, "hook": 1, "file": 2}
            await until(lambda: list((site.data / "sandbox/archive/file").glob("*-a.csv")))
            cron = await state_of(daemon.operations, "cron")
            assert cron is not None
            assert datetime.fromisoformat(cron["triggers"][0]["next"]) > datetime.now(UTC) - timedelta(seconds=1)

    asyncio.run(main())


def test_health_is_503_until_triggers_are_live_and_again_while_it_stops(tmp_path: Path) -> None:
    site = make_site(tmp_path, {f"flow-{n}": hook(f"hook-{n}") for n in range(300)})
    seen: list[tuple[int, str]] = []

    async def main() -> None:
        port = free_port()

        async def look() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                while True:
                    try:
                        answer = await client.get(f"http://127.0.0.1:{port}/healthz")
                    except httpx.TransportError:
                        await asyncio.sleep(0.001)
                        continue
                    said = (answer.status_code, answer.json()["status"])
                    if not seen or seen[-1] != said:
                        seen.append(said)
                    await asyncio.sleep(0.001)

        looking = asyncio.create_task(look())
        async with AsyncExitStack() as stack:
            daemon = await start_daemon(
                stack,
                site.settings(),
                clock=SystemClock(),
                environ=site.environ,
                sandbox=SandboxChoice(port=0),
                listen=("127.0.0.1", port),
            )
            assert daemon.sandbox is not None
            await until(lambda: seen and seen[-1][0] == 200)
            daemon.sandbox.set_faults([{"kind": "latency", "seconds": 0.5}])
            await post(daemon.web_address, "hook-1")
            await until(lambda: in_state(daemon, "in_flight"))
        looking.cancel()

    asyncio.run(main())
    assert seen == [(503, "starting"), (200, "ok"), (503, "stopping")]


def test_a_stop_waits_for_the_answer_of_a_request_in_flight(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            assert daemon.sandbox is not None
            sandbox = daemon.sandbox
            sandbox.set_faults([{"kind": "latency", "seconds": 0.7}])
            await post(daemon.web_address, "hook", 1)
            await until(lambda: in_state(daemon, "in_flight"))
            await post(daemon.web_address, "hook", 2)
        assert [message.text for receipt in sandbox.receipts for message in receipt.messages][:1] == ["hook 1"]
        async with running(site) as daemon:
            # Nothing was doubtful: what was in flight was recorded, what was not yet begun is sent now.
            await until(lambda: in_state(daemon, "accepted", 2))
            assert await states(daemon) == {"accepted": 2}

    asyncio.run(main())


def test_messages_of_a_flow_go_out_with_the_key_of_its_account(tmp_path: Path) -> None:
    config = "accounts:\n  default: {api_key: '${CONWP_API_KEY}'}\n  shop: {api_key: '${SHOP_KEY}'}\n"
    site = make_site(tmp_path, {"one": hook("one"), "two": hook("two") + "delivery: {account: shop}\n"}, config)
    site.environ["SHOP_KEY"] = "the-shops-key"

    async def main() -> None:
        async with running(site) as daemon:
            assert daemon.sandbox is not None
            await post(daemon.web_address, "one", "one")
            await post(daemon.web_address, "two", "two")
            receipts = await daemon.sandbox.wait_for_receipts(2)
            keys = {receipt.messages[0].text: receipt.key for receipt in receipts}
            assert keys == {"hook one": "a-test-key", "hook two": "the-shops-key"}
            found = await daemon.operations.flows()
            assert [each["account"] for each in found] == ["default", "shop"]

    asyncio.run(main())


def test_a_second_daemon_is_told_of_the_first_even_when_the_port_is_taken_too(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon, AsyncExitStack() as stack:
            assert daemon.sandbox is not None
            port = int(daemon.web_address.rsplit(":", 1)[1])
            sandbox_port = int(daemon.sandbox.address.rsplit(":", 1)[1])
            with pytest.raises(AlreadyRunning):
                await start_daemon(
                    stack,
                    site.settings(),
                    clock=SystemClock(),
                    environ=site.environ,
                    sandbox=SandboxChoice(port=sandbox_port),
                    listen=("127.0.0.1", port),
                )

    asyncio.run(main())


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path) -> None:
    one, two = make_site(tmp_path / "one"), make_site(tmp_path / "two")

    async def main() -> None:
        async with running(one) as daemon, AsyncExitStack() as stack:
            port = int(daemon.web_address.rsplit(":", 1)[1])
            with pytest.raises(ConwpBotError, match=rf"cannot listen on 127\.0\.0\.1:{port}") as caught:
                await start_daemon(
                    stack,
                    two.settings(),
                    clock=SystemClock(),
                    environ=two.environ,
                    sandbox=SandboxChoice(port=0),
                    listen=("127.0.0.1", port),
                )
            assert caught.value.hint is not None

    asyncio.run(main())


def test_a_stop_has_the_patience_of_the_slowest_account(tmp_path: Path) -> None:
    config = "accounts:\n  default: {api_key: a, timeout: 20s}\n  slow: {api_key: b, timeout: 90s}\n"
    site = make_site(tmp_path, config=config)
    assert patience(site.settings()) >= 90


def test_a_webhook_that_nobody_asked_for_is_404_and_a_stopping_daemon_says_503(tmp_path: Path) -> None:
    site = make_site(tmp_path)

    async def main() -> None:
        async with running(site) as daemon:
            assert (await post(daemon.web_address, "nobody")).status_code == 404
            await daemon.engine.intake.close()
            answer = await post(daemon.web_address, "hook")
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert (await get(daemon.web_address)).status_code == 200

    asyncio.run(main())
