"""What the tests of the whole daemon share: a folder with config and flows, a daemon in this process or in one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from conwp_bot.app.control import connect
from conwp_bot.app.daemon import Daemon, SandboxChoice, start_daemon
from conwp_bot.clock import Clock, SystemClock
from conwp_bot.settings import Settings
from conwp_bot.settings.load import load_settings
from conwp_bot.store.schema import messages

T = TypeVar("T")

CONFIG = "timezone: Europe/Istanbul\naccounts:\n  default: {api_key: '${CONWP_API_KEY}', limit: 100000/hour}\n"
HOOK = """\
triggers: [{webhook: NAME, scheme: none}]
steps:
  - send: {to: 0555 123 45 67, text: "TEXT {{ event.payload.n }}"}
"""
BROKEN = "triggers: [{webhook: hook, scheme: none}]\nsteps:\n  - sned: {to: 0555 123 45 67, text: hi}\n"


def hook(name: str = "hook", text: str = "hook") -> str:
    return HOOK.replace("NAME", name).replace("TEXT", text)


@dataclass
class Site:
    """A folder with a config and flows."""

    root: Path
    environ: dict[str, str]

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def flow(self, name: str, text: str) -> Path:
        path = self.root / "flows" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def settings(self) -> Settings:
        settings, problems = load_settings(self.config, self.environ)
        assert settings is not None, problems
        return settings


def make_site(root: Path, flows: Mapping[str, str] | None = None, config: str = CONFIG) -> Site:
    root.mkdir(parents=True, exist_ok=True)
    site = Site(root, {"CONWP_API_KEY": "a-test-key"})
    site.config.write_text(config, encoding="utf-8")
    (root / "flows").mkdir()
    for name, text in ({"hook": hook()} if flows is None else flows).items():
        site.flow(name, text)
    return site


@asynccontextmanager
async def running(
    site: Site, *, clock: Clock | None = None, sandbox: bool = True, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Daemon]:
    """A daemon in this process, on free ports."""
    async with AsyncExitStack() as stack:
        yield await start_daemon(
            stack,
            site.settings(),
            clock=clock or SystemClock(),
            environ={**site.environ, **(environ or {})},
            sandbox=SandboxChoice(port=0) if sandbox else None,
            listen=("127.0.0.1", 0),
        )


async def until(answer: Callable[[], T | Awaitable[T]], seconds: float = 10.0) -> T:
    """Ask until the answer is true, and return it; raises TimeoutError with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        said: Any = answer()
        if isinstance(said, Awaitable):
            said = await said
        if said:
            return said
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds:g} s; the last answer: {said!r}")
        await asyncio.sleep(0.005)


async def post(address: str, name: str, n: object = 1) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(f"http://{address}/hooks/{name}", json={"n": n}, timeout=20)


async def get(address: str, path: str = "/healthz") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{address}{path}", timeout=20)


def texts(daemon: Daemon) -> list[str]:
    """What the sandbox accepted, in order."""
    assert daemon.sandbox is not None
    return [message.text for receipt in daemon.sandbox.receipts for message in receipt.messages if message.accepted]


async def state_of(operations: Any, flow: str) -> dict[str, Any] | None:
    return next((each for each in await operations.flows() if each["id"] == flow), None)


async def states(daemon: Daemon) -> dict[str, int]:
    """How many messages are in which state."""

    def query(conn: Connection) -> dict[str, int]:
        rows = conn.execute(select(messages.c.state, func.count()).group_by(messages.c.state))
        return {row[0]: row[1] for row in rows}

    return await daemon.engine.store.read(query)


async def in_state(daemon: Daemon, state: str, count: int = 1) -> bool:
    return (await states(daemon)).get(state, 0) == count


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Process:
    """A daemon in a process of its own; its errors go to a file, so that it never waits for a reader."""

    site: Site
    popen: subprocess.Popen[bytes]
    log: Path
    data: Path

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    async def info(self) -> dict[str, Any]:
        """Wait until it answers on its control socket, and return what it says of itself."""

        async def ask() -> dict[str, Any] | None:
            assert self.popen.poll() is None, self.said()
            remote = await connect(self.data)
            if remote is None:
                return None
            async with remote:
                return await remote.info()

        return await until(ask, 30)

    async def end(self, seconds: float = 30) -> int:
        """Wait for its end; returns the exit code."""
        return await asyncio.to_thread(self.popen.wait, seconds)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return await self.end()


@contextmanager
def process(
    site: Site, *arguments: str, sandbox: bool = True, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """`conwp-bot run` for real; killed at the end if it still runs."""
    words = ["--config", str(site.config), "run", "--listen", "127.0.0.1:0", *arguments]
    if sandbox:
        words += ["--sandbox-listen", "127.0.0.1:0"]
    with spawned(site, *words, env=env) as started:
        if not sandbox:
            started.data = site.data
        yield started


@contextmanager
def spawned(site: Site, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CONWP", "NOTIFY", "WATCHDOG"))}
    log = site.root / f"log-{len(list(site.root.glob('log-*')))}.txt"
    with log.open("wb") as out:
        popen = subprocess.Popen(
            [sys.executable, "-m", "conwp_bot", *words],
            stdout=out,
            stderr=out,
            cwd=site.root,
            env={**clean, **site.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        )
    try:
        yield Process(site, popen, log, site.data / "sandbox")
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
