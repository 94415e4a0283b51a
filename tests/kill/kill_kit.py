"""The kill harness: a daemon that is killed and started again, a world that goes on, and the sandbox's receipts as the truth."""

import asyncio
import json
import random
import signal
import socket
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx

from conwp_bot.model.budget import Limit
from conwp_bot.sandbox import Sandbox, SandboxOptions

FLOWS = {
    "hook.yaml": """
triggers: [{webhook: hook, scheme: none}]
steps:
  - send: {to: "{{ event.payload.to }}", text: "{{ event.payload.text }}"}
delivery: {expires: 7d}
""",
    "resending.yaml": """
triggers: [{webhook: resending, scheme: none}]
steps:
  - send: {to: "{{ event.payload.to }}", text: "{{ event.payload.text }}"}
delivery: {on_unknown: resend, expires: 7d}
""",
    "files.yaml": """
triggers: [{file: "inbox/*.csv", settle: 50ms}]
steps:
  - for_each: event.rows
    as: row
    steps:
      - send: {to: "{{ row.to }}", text: "{{ row.text }}"}
delivery: {expires: 7d}
""",
}


@dataclass
class Told:
    """What the world was promised: texts whose webhook was answered 202, and rows of files that were dropped."""

    hooked: set[str] = field(default_factory=set)
    resending: set[str] = field(default_factory=set)
    rows: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.hooked | self.resending | self.rows


class ForkServer:
    """Talks to `kill_forkserver.py`."""

    async def start(self) -> None:
        script = Path(__file__).with_name("kill_forkserver.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._pids: asyncio.Queue[int] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            kind, *words = line.decode().split()
            if kind == "pid":
                self._exits.setdefault(int(words[0]), asyncio.get_running_loop().create_future())
                self._pids.put_nowait(int(words[0]))
            else:
                pid, status = int(words[0]), int(words[1])
                self._exits.setdefault(pid, asyncio.get_running_loop().create_future()).set_result(status)

    async def fork(self, config: Path, log: Path) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{config}\t{log}\n".encode())
        return await self._pids.get()

    async def ended(self, pid: int) -> int:
        return await self._exits[pid]

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reader


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class World:
    """Webhooks and files keep coming, whatever happens to the daemon; a sender repeats until it is answered 202, as senders do."""

    def __init__(self, root: Path, port: int, seed: int) -> None:
        self.told = Told()
        self._root = root
        self._base = f"http://127.0.0.1:{port}"
        self._random = random.Random(seed)
        self._count = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    def _next(self, kind: str) -> tuple[str, str]:
        self._count += 1
        return f"90555{self._random.randrange(10**7):07}", f"{kind}-{self._count}"

    async def post(self, hook: str, told: set[str]) -> None:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while not self._stop.is_set():
                to, text = self._next(hook)
                body = json.dumps({"to": to, "text": text})
                headers = {"content-type": "application/json", "idempotency-key": text}
                while True:
                    try:
                        answer = await client.post(f"{self._base}/hooks/{hook}", content=body, headers=headers)
                    except httpx.HTTPError:
                        await asyncio.sleep(0.01)
                    else:
                        if answer.status_code == 202:
                            told.add(text)
                            break
                        assert answer.status_code in (404, 503), answer.text
                        await asyncio.sleep(0.01)
                await asyncio.sleep(self._random.uniform(0, 0.03))

    async def drop(self) -> None:
        inbox = self._root / "inbox"
        inbox.mkdir(exist_ok=True)
        while not self._stop.is_set():
            rows = [self._next("row") for _ in range(self._random.randrange(1, 8))]
            text = "to;text\n" + "".join(f"{to};{text}\n" for to, text in rows)
            name = f"{self._count}.csv"
            draft = inbox / f".{name}"
            draft.write_text(text)
            draft.rename(inbox / name)
            self.told.rows |= {text for _, text in rows}
            await asyncio.sleep(self._random.uniform(0.05, 0.3))


@dataclass
class Verdict:
    """What a run of kills came to."""

    kills: int
    told: int
    received: int
    lost: list[str]
    repeated: list[str]
    unknown: int
    resent: int


async def kill_loop(root: Path, *, kills: int, seed: int, longest: float = 0.5) -> Verdict:
    """Kill the daemon `kills` times at random moments while the world goes on; then let it finish, and compare with the receipts."""
    chance = random.Random(seed)
    port = free_port()
    options = SandboxOptions(
        limit=Limit(10**6, timedelta(hours=1)), latency=timedelta(milliseconds=chance.choice([0, 2, 10]))
    )
    sandbox = Sandbox(options)
    address = await sandbox.start()
    (root / "flows").mkdir()
    for name, text in FLOWS.items():
        (root / "flows" / name).write_text(text)
    (root / "config.yaml").write_text(
        f"""
accounts:
  default: {{base_url: "{sandbox.base_url}", api_key: "test", limit: 1000000/hour, bulk: "off"}}
web: {{listen: "127.0.0.1:{port}"}}
log: {{level: warning, format: json}}
"""
    )
    assert address
    world = World(root, port, seed)
    senders = [
        asyncio.create_task(world.post("hook", world.told.hooked)),
        asyncio.create_task(world.post("hook", world.told.hooked)),
        asyncio.create_task(world.post("resending", world.told.resending)),
        asyncio.create_task(world.drop()),
    ]
    server = ForkServer()
    await server.start()
    log = root / "daemon.log"
    try:
        for _ in range(kills):
            pid = await server.fork(root / "config.yaml", log)
            # From a start that has not begun to a daemon in full work.
            await asyncio.sleep(chance.uniform(0, longest))
            _signal(pid, signal.SIGKILL)
            status = await server.ended(pid)
            assert status == -signal.SIGKILL, f"the daemon ended by itself with {status}: {log.read_text()[-2000:]}"
        pid = await server.fork(root / "config.yaml", log)
        await asyncio.sleep(0.5)
        world.stop()
        await asyncio.gather(*senders)
        await _at_rest(root, world.told)
        _signal(pid, signal.SIGTERM)
        assert await server.ended(pid) == 0, log.read_text()[-2000:]
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        await server.stop()
        await sandbox.stop()
    return _judge(kills, root, world.told, sandbox)


def _signal(pid: int, number: int) -> None:
    import os

    os.kill(pid, number)


async def _at_rest(root: Path, told: Told) -> None:
    """Wait until every file is taken, every run has ended and no message is on its way."""
    for _ in range(1200):
        await asyncio.sleep(0.1)
        if list((root / "inbox").glob("*.csv")):
            continue
        with sqlite3.connect(f"file:{root / 'data' / 'conwp-bot.db'}?mode=ro", uri=True) as conn:
            moving = conn.execute(
                "SELECT count(*) FROM messages WHERE state IN ('pending', 'claimed', 'in_flight')"
            ).fetchone()[0]
            running = conn.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone()[0]
            stored = {text for (text,) in conn.execute("SELECT text FROM messages")}
        conn.close()
        if not moving and not running and told.all <= stored:
            return
    raise AssertionError(
        f"not at rest: {moving} messages on their way, {running} runs, {len(told.all - stored)} not stored"
    )


def _judge(kills: int, root: Path, told: Told, sandbox: Sandbox) -> Verdict:
    received = Counter(message.text for receipt in sandbox.receipts for message in receipt.messages if message.accepted)
    conn = sqlite3.connect(root / "data" / "conwp-bot.db")
    rows = conn.execute("SELECT text, state, resends FROM messages").fetchall()
    conn.close()
    states = {text: state for text, state, _ in rows}
    resends = {text: count for text, _, count in rows}
    lost = [text for text in told.all if not received[text] and states.get(text) not in ("held", "unknown")]
    lost += [text for text, state in states.items() if state == "accepted" and not received[text]]
    repeated = [text for text, count in received.items() if count > 1 + resends.get(text, 0)]
    assert len(states) == len(rows), "a text stands in two messages: an event was stored twice"
    assert set(received) <= set(states), "the sandbox received what no message says"
    return Verdict(
        kills=kills,
        told=len(told.all),
        received=len(received),
        lost=sorted(lost),
        repeated=sorted(repeated),
        unknown=sum(1 for state in states.values() if state in ("held", "unknown")),
        resent=sum(resends.values()),
    )
