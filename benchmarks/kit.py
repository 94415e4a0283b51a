"""What the benchmarks share: a daemon as a process, a load generator, a table."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Figure:
    """One line of the table: what was measured, its aim, and its ratio to a baseline of the same run."""

    name: str
    value: str
    aim: str = ""
    ratio: str = ""
    note: str = ""


@dataclass
class Site:
    """A folder with a config and flows, and the addresses of what runs on it."""

    root: Path
    port: int
    sandbox_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def flow(self, name: str, text: str) -> Path:
        path = self.root / "flows" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start_sandbox(self) -> subprocess.Popen[bytes]:
        return self._start(
            [
                sys.executable,
                "-m",
                "conwp_bot.sandbox",
                "--listen",
                f"127.0.0.1:{self.sandbox_port}",
                "--limit",
                "100000000/hour",
            ],
            f"{self.sandbox}/_sandbox/state",
        )

    def start_daemon(self) -> subprocess.Popen[bytes]:
        return self._start(
            [sys.executable, "-m", "conwp_bot", "--config", str(self.root / "config.yaml"), "run"],
            f"{self.web}/healthz",
        )

    def _start(self, command: list[str], ready: str) -> subprocess.Popen[bytes]:
        log = (self.root / "log.txt").open("ab")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.root)
        self.processes.append(process)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError((self.root / "log.txt").read_text()[-3000:])
            try:
                with urllib.request.urlopen(ready, timeout=1) as answer:
                    if answer.status == 200:
                        return process
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f"{command} was not ready in a minute")

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(200)
        self.processes.clear()

    def receipts(self, since: int = 0) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.sandbox}/_sandbox/receipts?since={since}", timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.sandbox}/_sandbox/state", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def site(*, limit: str = "100000000/hour", concurrency: int = 4, extra: str = "") -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = Site(Path(folder), free_port(), free_port())
        (found.root / "flows").mkdir()
        (found.root / "config.yaml").write_text(
            f"""
accounts:
  default:
    base_url: {found.sandbox}/yonetim/api/index.php
    api_key: bench
    limit: {limit}
    bulk: "off"
    concurrency: {concurrency}
web: {{listen: "127.0.0.1:{found.port}"}}
log: {{level: warning, format: json}}
{extra}
"""
        )
        try:
            yield found
        finally:
            found.stop()


HOOK_FLOW = """
triggers: [{webhook: hook, scheme: none}]
steps:
  - send:
      to: "{{ event.payload.to }}"
      text: "Merhaba {{ event.payload.name }}, {{ event.payload.number }} numaralı siparişiniz yola çıktı."
"""


def hook_request(n: int, path: str = "/hooks/hook") -> bytes:
    body = json.dumps({"to": f"0555{n % 10_000_000:07}", "name": "Ayşe", "number": n}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, *, connections: int, seconds: float, path: str = "/hooks/hook") -> tuple[int, float]:
    """Post over keep-alive connections as fast as answers come; returns how many were answered 202, and the seconds it took."""
    counts = [0] * connections
    started = time.monotonic()
    end = started + seconds
    numbers = iter(range(10**9))

    async def one(index: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(hook_request(next(numbers), path))
            status = await read_answer(reader)
            if status == 202:
                counts[index] += 1
        writer.close()

    await asyncio.gather(*(one(index) for index in range(connections)))
    return sum(counts), time.monotonic() - started


async def read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    at = lower.index(b"content-length:") + 15
    await reader.readexactly(int(lower[at : lower.index(b"\r\n", at)]))
    return status


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: list[float]) -> float:
    return statistics.median(values)
