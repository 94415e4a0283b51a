"""`make demo`: the daemon, the sandbox instead of ConWP, and three flows that show a message each within seconds."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import shutil
import sys
from datetime import timedelta
from importlib import resources
from pathlib import Path

import httpx

from conwp_bot.app.daemon import Daemon, SandboxChoice, run_daemon
from conwp_bot.app.engine import DATABASE
from conwp_bot.app.lock import data_lock
from conwp_bot.app.place import sandbox_settings
from conwp_bot.clock import SystemClock
from conwp_bot.flows.flow import CronTrigger
from conwp_bot.model.event import SlotMark
from conwp_bot.settings.load import load_settings
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import put_marks
from conwp_bot.triggers.schedule import spec_of

log = logging.getLogger(__name__)

SECRET = "whsec_ZGVtb19zZWNyZXRfb2ZfY29ud3BfYm90XzMyYnl0ZXM="  # noqa: S105 - shown on purpose: the demo listens on loopback only
FOLDER = Path("demo")
CSV = "telefon;ad;vade;tutar\n0555 123 45 67;Ayşe Yılmaz;31.12.2026;1.234,56\n0555 987 65 43;İsmail Çağlar;31.12.2026;450,00\n"
SHOWN = 8
"""How many messages are printed as they arrive; the page shows all of them."""


def run_demo(folder: Path | None = None) -> int:
    """Write the demo's config and flows into `folder` (what is there stays), run them, and make each trigger fire once."""
    folder = folder or FOLDER
    _write_files(folder)
    config = folder / "config.yaml"
    environ = {**os.environ, "DEMO_SECRET": SECRET}
    asyncio.run(_rewind_schedules(config, environ))
    shows: list[asyncio.Task[None]] = []

    def on_ready(daemon: Daemon) -> None:
        shows.append(asyncio.create_task(_show(daemon, folder)))

    return run_daemon(
        config, sandbox=SandboxChoice(port=_port("CONWP_BOT_DEMO_SANDBOX", 8701)), environ=environ, on_ready=on_ready
    )


def _port(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _write_files(folder: Path) -> None:
    """Copy the demo's files out of the package."""
    source = resources.files("conwp_bot.app") / "demo_files"
    for name in ("config.yaml", "flows/every-minute.yaml", "flows/order.yaml", "flows/invoices.yaml"):
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")


async def _rewind_schedules(config: Path, environ: dict[str, str]) -> None:
    """Put the schedule's cursor a minute back, so that its newest slot is caught up at once and nobody waits for the minute's end."""
    settings, _ = load_settings(config, environ)
    if settings is None:
        return
    now = SystemClock().now()
    trigger = CronTrigger("cron", "* * * * *", settings.timezone)
    mark = SlotMark("every-minute", "cron", spec_of(trigger), now - timedelta(minutes=1))
    data = sandbox_settings(settings).data
    with data_lock(data):
        store = await open_sqlite(data / DATABASE)
        try:
            await store.do(put_marks, [mark])
        finally:
            await store.close()


async def _show(daemon: Daemon, folder: Path) -> None:
    """Fire the webhook and drop the file as a visitor would, and print what arrives."""
    assert daemon.sandbox is not None
    _say(
        "",
        "conwp_bot runs, and sends to a sandbox on this machine instead of ConWP.",
        f"  the chats it received:   {daemon.sandbox.address}/",
        f"  flows, reloaded as saved: {(folder / 'flows').resolve()}",
        f"  drop CSV files into:      {(folder / 'inbox').resolve()}",
        f"  ask it:                   {_command()} --config {folder}/config.yaml flows   (or: messages, runs, budget)",
        "  Ctrl-C ends it.",
        "",
    )
    await asyncio.to_thread(_drop_file, folder)
    await _post_order(daemon.web_address)
    seen = 0
    while seen < SHOWN:
        receipt = await daemon.sandbox.wait_for_receipt(lambda receipt, seen=seen: receipt.n > seen, timeout=3600.0)  # type: ignore[misc]
        seen = receipt.n
        for message in receipt.messages:
            if message.accepted:
                first = message.text.strip().splitlines()[0]
                _say(f"  → {message.receiver}: {first}")


def _drop_file(folder: Path) -> None:
    """Write beside, then rename in: taken at once."""
    inbox = folder / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    draft = inbox / ".faturalar.csv"
    draft.write_bytes(CSV.encode("cp1254"))
    long_ago = draft.stat().st_mtime - 60
    os.utime(draft, (long_ago, long_ago))
    draft.rename(inbox / "faturalar.csv")


async def _post_order(web: str) -> None:
    """Post a signed webhook, as a shop would."""
    body = json.dumps(
        {
            "number": "A-1042",
            "customer": {"name": "Zeynep", "phone": "0555 222 33 44"},
            "items": [{"name": "Türk kahvesi", "quantity": 2}, {"name": "Lokum", "quantity": 1}],
            "total": "389.90",
        },
        ensure_ascii=False,
    ).encode()
    now = str(int(SystemClock().now().timestamp()))
    identity = f"demo-{now}"
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{identity}.{now}.".encode() + body, hashlib.sha256)).decode()
    headers = {
        "content-type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{signature}",
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{web}/hooks/orders", content=body, headers=headers)
    if answer.status_code != 202:
        log.error("the demo's webhook was answered %d: %s", answer.status_code, answer.text)


def _command() -> str:
    """Return how this program is called here: its script is on the path only in an active virtual environment."""
    if shutil.which("conwp-bot"):
        return "conwp-bot"
    script = Path(sys.executable).with_name("conwp-bot")
    return os.path.relpath(script) if script.exists() else f"{sys.executable} -m conwp_bot"


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
