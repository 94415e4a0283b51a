"""All sources together, as the daemon holds them: one flow set, three ways in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from triggers_kit import ISTANBUL, RememberedIntake, flow, flow_set

from conwp_bot.flows.flow import CronTrigger, FileTrigger, FlowSet, Scheme, WebhookTrigger
from conwp_bot.ids import Ids
from conwp_bot.model.secret import Secret
from conwp_bot.testing.clock import MovedClock
from conwp_bot.triggers.registry import Sources
from conwp_bot.web.app import make_app
from conwp_bot.web.server import WebServer, bind_tcp


def test_each_kind_of_trigger_of_the_live_flow_set_leads_to_its_event(tmp_path: Path) -> None:
    async def go() -> None:
        intake, clock = RememberedIntake(), MovedClock(datetime(2026, 6, 1, 5, 0, tzinfo=UTC))
        sources = Sources(
            intake,
            root=tmp_path,
            data=tmp_path / "data",
            slots=intake,
            known=intake.known,
            resolve=lambda source: Secret("s3cret"),
            key_scope=lambda flow, event: {},
            clock=clock,
            ids=Ids(),
        )
        web = WebServer(make_app(sources.hooks, lambda: "ok"), [bind_tcp("127.0.0.1", 0)])
        await web.start()
        await sources.set_flows(FlowSet())
        await sources.start()
        await sources.set_flows(
            flow_set(
                flow("daily", CronTrigger("cron", "0 9 * * *", ISTANBUL)),
                flow("orders", WebhookTrigger("webhook", "orders", Scheme.TOKEN, "${TOKEN}")),
                flow("bills", FileTrigger("file", "inbox/*.csv", settle=timedelta(0))),
            )
        )
        async with httpx.AsyncClient(base_url=f"http://{web.addresses[0]}") as client, asyncio.timeout(10):
            answer = await client.post("/hooks/orders", json={"n": 1}, headers={"X-Webhook-Token": "s3cret"})
            assert answer.status_code == 202
            assert answer.json() == {"event": intake.events[0].id}
            while not (tmp_path / "inbox").is_dir():
                await asyncio.sleep(0.005)
            (tmp_path / "inbox/a.csv").write_text("a\n1\n")
            while len(intake.events) < 2:
                await asyncio.sleep(0.005)
            while not sources.next_slots():
                await asyncio.sleep(0.005)
            assert sources.next_slots() == {("daily", "cron"): clock.now() + timedelta(hours=1)}
            clock.advance(timedelta(hours=1))
            while len(intake.events) < 3:
                await asyncio.sleep(0.005)
            await sources.set_flows(FlowSet())
            gone = await client.post("/hooks/orders", json={}, headers={"X-Webhook-Token": "s3cret"})
            assert gone.status_code == 404
        assert [event.kind for event in intake.events] == ["webhook", "file", "cron"]
        await sources.stop()
        await web.stop()

    asyncio.run(go())
