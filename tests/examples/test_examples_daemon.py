"""All five examples at once: the real daemon, signed webhooks and a dropped file over real HTTP, messages at the sandbox."""

import asyncio
import base64
import hashlib
import hmac
import shutil
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx

from conwp_bot import telemetry
from conwp_bot.app.daemon import Daemon, SandboxChoice, start_daemon
from conwp_bot.clock import SystemClock
from conwp_bot.settings.load import load_settings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "flows" / "_samples"
ENVIRON = {
    "ORDERS_SECRET": "orders-of-a-test-7c1e",
    "ALERTMANAGER_TOKEN": "token-of-a-test-7c1e",
    "GITHUB_SECRET": "hub-of-a-test-7c1e",
}


def test_all_examples_reach_the_sandbox_through_the_daemon(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    config = tmp_path / "config.yaml"
    config.write_text("timezone: Europe/Istanbul\n", encoding="utf-8")
    settings, problems = load_settings(config, ENVIRON)
    assert settings is not None, problems

    async def main() -> None:
        async with AsyncExitStack() as stack:
            daemon = await start_daemon(
                stack,
                settings,
                clock=SystemClock(),
                environ=ENVIRON,
                sandbox=SandboxChoice(port=0),
                listen=("127.0.0.1", 0),
            )
            assert daemon.sandbox is not None
            assert daemon.health() == "ok"
            assert daemon.engine.flowbook.problems == ()
            await daemon.operations.fire("weekday-reminder")
            await post_all(daemon)
            drop_invoices(tmp_path / "inbox")
            await daemon.sandbox.wait_for_messages(8, timeout=30)
            texts = [message.text for receipt in daemon.sandbox.receipts for message in receipt.messages]
        assert len(texts) == 8
        for beginning in (
            "Günaydın! Bugün ",
            "Merhaba Ayşe Ilgaz, S-1042 numaralı siparişinizi aldık:",
            "Bakır cezve azaldı: son 3 adet.",
            "🔥 DiskFillingUp: 1 firing",
            "✅ DiskFillingUp: all 2 resolved",
            "deniz pushed 2 commits to example/shop:",
            "Merhaba Çiğdem Öztürk, ",
        ):
            assert any(text.startswith(beginning) for text in texts), beginning

    try:
        asyncio.run(main())
    finally:
        telemetry.restore()  # the daemon registers its secrets with the process


async def post_all(daemon: Daemon) -> None:
    order = (SAMPLES / "order.json").read_bytes()
    now = str(int(SystemClock().now().timestamp()))
    signature = base64.b64encode(
        hmac.digest(b"orders-of-a-test-7c1e", f"order-1.{now}.".encode() + order, "sha256")
    ).decode()
    push = (SAMPLES / "push.json").read_bytes()
    pushed = hmac.new(b"hub-of-a-test-7c1e", push, hashlib.sha256).hexdigest()
    bearer = {"authorization": "Bearer token-of-a-test-7c1e"}
    posts = [
        ("orders", order, {"webhook-id": "order-1", "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}),
        ("alertmanager", (SAMPLES / "alert-firing.json").read_bytes(), bearer),
        ("alertmanager", (SAMPLES / "alert-resolved.json").read_bytes(), bearer),
        ("github-push", push, {"x-hub-signature-256": f"sha256={pushed}", "x-github-event": "push"}),
    ]
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, body, headers in posts:
            url = f"http://{daemon.web_address}/hooks/{name}"
            answer = await client.post(url, content=body, headers={"content-type": "application/json", **headers})
            assert answer.status_code == 202, answer.text


def drop_invoices(inbox: Path) -> None:
    """Write a list with one invoice that is due tomorrow beside the folder, and move it in."""
    tomorrow = SystemClock().now() + timedelta(hours=3, days=1)  # Istanbul's date
    text = f"phone;name;due;total\n0533 765 43 21;Çiğdem Öztürk;{tomorrow:%d.%m.%Y};980\n"
    draft = inbox.parent / "draft.csv"
    draft.write_bytes(text.encode("cp1254"))
    draft.rename(inbox / "invoices-kasim.csv")
