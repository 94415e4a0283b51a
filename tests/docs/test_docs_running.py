"""What the docs tell people to type, typed: signed requests by curl, and the JSON of the commands that look."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from docs_kit import ROOT, blocks, codes, read, rows, section

from conwp_bot import telemetry
from conwp_bot.app.daemon import Daemon, SandboxChoice, start_daemon
from conwp_bot.clock import SystemClock
from conwp_bot.settings.load import load_settings

ENVIRON = {
    "ORDERS_SECRET": "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3Rz",
    "ALERTMANAGER_TOKEN": "token-of-a-test-7c1e",
    "GITHUB_SECRET": "hub-of-a-test-7c1e",
}


def with_daemon(folder: Path, body: Callable[[Daemon, Path], Awaitable[None]]) -> None:
    shutil.copytree(ROOT / "flows", folder / "flows")
    config = folder / "config.yaml"
    config.write_text("{}\n", encoding="utf-8")
    settings, _ = load_settings(config, ENVIRON)
    assert settings is not None

    async def main() -> None:
        async with AsyncExitStack() as stack:
            clock, sandbox = SystemClock(), SandboxChoice(port=0)
            daemon = await start_daemon(
                stack, settings, clock=clock, environ=ENVIRON, sandbox=sandbox, listen=("127.0.0.1", 0)
            )
            await body(daemon, config)

    try:
        asyncio.run(main())
    finally:
        telemetry.restore()  # the daemon registers its secrets with the process


async def run(*words: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env={**os.environ, **ENVIRON, "no_proxy": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaint.decode()
    return said.decode()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl") and shutil.which("bash")), reason="tools")
def test_the_signed_requests_of_the_docs_are_taken(tmp_path: Path) -> None:
    lines = [
        block.text for block in blocks("sh") if block.page.name == "webhook-signatures.md" and "curl" in block.text
    ]
    assert len(lines) == 3

    async def body(daemon: Daemon, config: Path) -> None:
        for line in lines:
            text = line.replace("127.0.0.1:8700", daemon.web_address)
            answer = json.loads(await run("bash", "-euo", "pipefail", "-c", text, folder=config.parent))
            assert answer["event"].startswith("ev_"), answer

    with_daemon(tmp_path, body)


def test_the_json_of_a_command_has_the_fields_that_its_page_tells(tmp_path: Path) -> None:
    page = read("reference/cli.md")

    def told(heading: str) -> set[str]:
        table = [cells for cells in rows(section(page, heading)) if not cells[0].startswith("`-")]
        return {code for cells in table for code in codes(cells[0])}

    async def body(daemon: Daemon, config: Path) -> None:
        fired = await daemon.operations.fire("weekday-reminder")
        assert daemon.sandbox is not None
        await daemon.sandbox.wait_for_messages(1)

        async def ask(*words: str) -> Any:
            command = (sys.executable, "-m", "conwp_bot", "--config", str(config), *words, "--json")
            return json.loads(await run(*command, folder=config.parent))

        for command in ("flows", "runs", "messages", "budget"):
            listed = await ask(command)
            assert listed[0].keys() == told(command), command
        [message] = await ask("messages", "--run", fired.run)
        info = await ask("message-info", message["id"])
        assert info.keys() == told("messages") | {"requests"}
        details = await ask("run-info", fired.run)
        assert details.keys() == told("runs") | {"trace", "rejects", "messages_made"}
        done = await ask("fire", "weekday-reminder")
        assert done.keys() == {"event", "run", "state", "reason", "rejected", "messages"}
        (config.parent / "flows" / "broken.yaml").write_text("stepps: []\n", encoding="utf-8")
        command = (sys.executable, "-m", "conwp_bot", "--config", str(config), "check", "--json")
        process = await asyncio.create_subprocess_exec(
            *command, cwd=config.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 1
        assert json.loads(said)[0].keys() == told("check")

    with_daemon(tmp_path, body)
