"""Every example flow in `flows/` loads without a problem and says exactly what its author means."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.engine import Connection

from conwp_bot.app.slots import StoredSlots
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import FileTrigger, Flow, FlowSet
from conwp_bot.flows.load import FlowLoader
from conwp_bot.ids import Ids
from conwp_bot.model.delivery import DeliveryClass, OnUnknown
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.hook import HookAnswer, HookRequest
from conwp_bot.model.rows import Reject
from conwp_bot.model.secret import Secret
from conwp_bot.runs.intake import Intake
from conwp_bot.runs.runner import Runner
from conwp_bot.runs.scope import key_scope
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import pending_count, rejects_of
from conwp_bot.store.schema import messages
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.testing.clock import MovedClock
from conwp_bot.triggers.cron import CronSource
from conwp_bot.triggers.tables import TableReader, inspect_table
from conwp_bot.triggers.webhook import WebhookReceiver

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "flows" / "_samples"
DEFAULTS = FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR")
SECRETS = {"${ORDERS_SECRET}": "orders-secret", "${ALERTMANAGER_TOKEN}": "alerts", "${GITHUB_SECRET}": "hub"}
MONDAY_NOON = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
LOADED = FlowLoader(ROOT / "flows", DEFAULTS, root=ROOT).load()
FLOWS = LOADED.flow_set


class Shop:
    """The real way from an event to stored messages, without a daemon around it."""

    def __init__(self, store: SqliteStore, data: Path, now: datetime) -> None:
        self.store = store
        self.data = data
        self.clock = MovedClock(now)
        self.ids = Ids()
        self.ended = asyncio.Event()
        self.runner = Runner(
            store,
            self.clock,
            self.ids,
            versions=self._version,
            rows=TableReader(data),
            pending=self._pending,
            on_messages=lambda accounts: None,
            on_ended=lambda run, event, ok: self.ended.set(),
        )
        self.intake = Intake(
            store,
            self.clock,
            self.ids,
            on_messages=lambda accounts: None,
            on_unfinished=self.runner.hint,
            on_ended=lambda run, event, ok: self.ended.set(),
        )

    async def _version(self, flow_id: str, hash_: str) -> Flow:
        return FLOWS.flows[flow_id]

    async def _pending(self) -> int:
        return await self.store.read(pending_count)

    async def sent(self) -> list[tuple[str, str]]:
        return await self.store.read(_sent)

    async def hook(self, name: str, body: bytes, headers: Mapping[str, str]) -> HookAnswer:
        receiver = WebhookReceiver(self.intake, self.clock, self.ids, _secret, key_scope)
        receiver.set_flows(FLOWS)
        headers = {"content-type": "application/json", **headers}
        return await receiver.receive(HookRequest(name, "POST", headers, {}, body))


def _secret(source: str) -> Secret:
    return Secret(SECRETS[source])


def _sent(conn: Connection) -> list[tuple[str, str]]:
    rows = conn.execute(select(messages.c.recipient, messages.c.text).order_by(messages.c.id))
    return [(row.recipient, row.text) for row in rows]


def in_shop(path: Path, body: Callable[[Shop], Awaitable[None]], now: datetime = MONDAY_NOON) -> None:
    async def main() -> None:
        store = await open_sqlite(path / "a.db")
        shop = Shop(store, path, now)
        running = asyncio.create_task(shop.runner.run())
        try:
            await asyncio.wait_for(body(shop), 20)
        finally:
            await shop.intake.close()
            shop.runner.stop()
            await running
            await store.close()

    asyncio.run(main())


def standard_headers(body: bytes, secret: str, now: datetime, identity: str = "msg_1") -> dict[str, str]:
    stamp = str(int(now.timestamp()))
    signed = f"{identity}.{stamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
    return {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def github_headers(body: bytes, secret: str, kind: str) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={signature}", "x-github-event": kind, "x-github-delivery": f"d-{kind}"}


def test_every_example_loads_without_a_problem() -> None:
    assert [str(problem) for problem in LOADED.problems] == []
    assert sorted(FLOWS.flows) == [
        "invoice-reminder",
        "ops/alertmanager",
        "ops/github-push",
        "order-notice",
        "weekday-reminder",
    ]


def test_the_weekday_reminder_goes_out_on_monday_at_nine_in_istanbul(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        source = CronSource(shop.intake, StoredSlots(shop.store), shop.clock, shop.ids)
        source.set_flows(FlowSet({"weekday-reminder": FLOWS.flows["weekday-reminder"]}))
        await source.start()
        try:
            monday_nine = datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo("Europe/Istanbul"))
            assert source.next_slots() == {("weekday-reminder", "cron"): monday_nine}
            shop.clock.set(monday_nine)
            await shop.ended.wait()
        finally:
            await source.stop()
        assert await shop.sent() == [
            (
                "905551234567",
                "Günaydın! Bugün 23 Kasım Pazartesi.\nKasa sayımını ve sipariş defterini unutmayın.",
            )
        ]

    in_shop(tmp_path, body, now=datetime(2026, 11, 21, 9, 0, tzinfo=UTC))  # a Saturday


def test_the_invoice_reminder_reads_a_turkish_spreadsheet_and_reminds_of_tomorrow_only(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        flow = FLOWS.flows["invoice-reminder"]
        [trigger] = flow.triggers
        assert isinstance(trigger, FileTrigger)
        sample = SAMPLES / "invoices-kasim.csv"
        (shop.data / sample.name).write_bytes(sample.read_bytes())
        spec = inspect_table(sample, flow, trigger)
        assert (spec.encoding, spec.delimiter) == ("cp1254", ";")
        data = {"table": spec.as_data(), "taken": sample.name, "file": {"name": sample.name}}
        event = Event("ev_1", flow.id, trigger.id, EventKind.FILE, shop.clock.now(), None, data)
        receipt = await shop.intake.accept(flow, event)
        await shop.ended.wait()
        assert await shop.sent() == [
            (
                "905321234567",
                "Merhaba Ayşe Ilgaz, 24 Kasım vadeli\n₺1.234,50 tutarındaki faturanızı hatırlatırız.",
            ),
            (
                "905337654321",
                "Merhaba Çiğdem Öztürk, 24 Kasım vadeli\n₺980,00 tutarındaki faturanızı hatırlatırız.",
            ),
        ]
        assert receipt.run is not None
        [reject] = await shop.store.read(rejects_of, receipt.run)
        assert isinstance(reject, Reject)
        assert reject.number == 3
        assert reject.reason.startswith("column \"phone\": '0555 123 45' is no valid phone number")

    in_shop(tmp_path, body)


def test_the_order_notice_thanks_the_customer_and_tells_the_store_what_runs_out(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        order = (SAMPLES / "order.json").read_bytes()
        answer = await shop.hook("orders", order, standard_headers(order, "orders-secret", shop.clock.now()))
        assert answer.status == 202
        expected = [
            (
                "905321234567",
                "Merhaba Ayşe Ilgaz, S-1042 numaralı siparişinizi aldık:\n"
                "• 6 × Çay bardağı: ₺255,00\n"
                "• 1 × Bakır cezve: ₺1.250,00\n"
                "Toplam ₺1.505,00. Teşekkür ederiz!",
            ),
            ("905551234567", "Bakır cezve azaldı: son 3 adet."),
        ]
        assert await shop.sent() == expected

        again = standard_headers(order, "orders-secret", shop.clock.now(), identity="msg_2")
        repeated = await shop.hook("orders", order, again)
        assert repeated.body == {"event": answer.body["event"], "repeated": True}
        assert await shop.sent() == expected

    in_shop(tmp_path, body)


def test_the_order_notice_is_not_for_senders_without_the_secret(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        order = (SAMPLES / "order.json").read_bytes()
        answer = await shop.hook("orders", order, standard_headers(order, "another", shop.clock.now()))
        assert answer.status == 401
        assert await shop.sent() == []

    in_shop(tmp_path, body)


def test_alertmanager_tells_who_is_on_call_that_something_burns_and_that_it_is_over(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        bearer = {"authorization": "Bearer alerts"}
        for sample in ("alert-firing.json", "alert-resolved.json"):
            assert (await shop.hook("alertmanager", (SAMPLES / sample).read_bytes(), bearer)).status == 202
        assert await shop.sent() == [
            (
                "905551234567",
                "🔥 DiskFillingUp: 1 firing\n"
                "• db1: the disk is full in 3 hours (since 09:12)\n"
                "1 resolved.\n"
                "http://alertmanager.example.com:9093",
            ),
            ("905551234567", "✅ DiskFillingUp: all 2 resolved"),
        ]

    in_shop(tmp_path, body)


def test_alerts_go_first_and_are_sent_once_more_when_their_answer_is_lost() -> None:
    policy = FLOWS.flows["ops/alertmanager"].delivery
    assert (policy.klass, policy.on_unknown) == (DeliveryClass.ALERT, OnUnknown.RESEND)


def test_a_push_to_main_is_announced_to_the_team(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        push = (SAMPLES / "push.json").read_bytes()
        assert (await shop.hook("github-push", push, github_headers(push, "hub", "push"))).status == 202
        text = (
            "deniz pushed 2 commits to example/shop:\n"
            "• cart: round prices half up (Deniz)\n"
            "• docs: say how to refund (Elif)\n"
            "https://github.com/example/shop/compare/1f0c3b7a2d91...9a4e6d2c8b05"
        )
        assert await shop.sent() == [("905551234567", text), ("905551234568", text)]

    in_shop(tmp_path, body)


def test_a_ping_and_a_push_to_another_branch_are_taken_and_not_announced(tmp_path: Path) -> None:
    async def body(shop: Shop) -> None:
        ping = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
        assert (await shop.hook("github-push", ping, github_headers(ping, "hub", "ping"))).status == 202
        push = json.loads((SAMPLES / "push.json").read_bytes())
        branch = json.dumps({**push, "ref": "refs/heads/draft"}).encode()
        assert (await shop.hook("github-push", branch, github_headers(branch, "hub", "push"))).status == 202
        assert await shop.sent() == []

    in_shop(tmp_path, body)
