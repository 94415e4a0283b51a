"""Loading flows, reloading one, starting, and what idling costs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from zoneinfo import ZoneInfo

from benchmarks.kit import HOOK_FLOW, Figure, cpu_seconds, median, memory_mb, site
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.load import FlowLoader

FLOWS = 5000
TYPICAL = """
description: A reminder of customer group {n}
timezone: Europe/Istanbul
triggers:
  - cron: "{minute} 9 * * mon-fri"
    within: 2h
  - webhook: hook-{n}
    scheme: token
    secret: ${{SECRET_{n}}}
vars:
  shop: "Dükkân {n}"
steps:
  - when: event.kind == "webhook"
    for_each: event.payload.customers
    as: customer
    steps:
      - send:
          to: "{{{{ customer.phone }}}}"
          text: |
            Merhaba {{{{ customer.name | tr_title }}}},
            {{{{ vars.shop }}}} sizi {{{{ today() | date("d MMMM") }}}} günü bekliyor. ({n})
delivery: {{class: normal, limit: 200/hour, expires: 12h}}
"""


def loading() -> list[Figure]:
    """5,000 flows from disk, and one changed among them; the baseline reads the same files with PyYAML's safe loader in C."""
    import yaml

    with site() as place:
        for n in range(FLOWS):
            place.flow(f"group{n // 100}/flow{n}", TYPICAL.format(n=n, minute=n % 60))
        started = time.monotonic()
        for path in sorted((place.root / "flows").rglob("*.yaml")):
            yaml.load(path.read_bytes(), yaml.CSafeLoader)
        alone = time.monotonic() - started
        loader = FlowLoader(place.root / "flows", FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR"), root=place.root)
        started = time.monotonic()
        first = loader.load()
        seconds = time.monotonic() - started
        assert len(first.flow_set.flows) == FLOWS, first.problems[:3]
        place.flow("group0/flow0", TYPICAL.format(n=0, minute=1))
        started = time.monotonic()
        second = loader.load(first.flow_set)
        again = time.monotonic() - started
        assert second.changed == {"group0/flow0"}
    return [
        Figure(
            f"loading {FLOWS:,} flows",
            f"{seconds:.1f} s",
            "≤ 5 s",
            f"{seconds / alone:.1f} × PyYAML alone ({alone:.1f} s)",
        ),
        Figure(
            f"loading again with one of {FLOWS:,} changed",
            f"{again * 1000:.0f} ms",
            "",
            f"{again / seconds:.3f} of the first load",
        ),
    ]


def reload() -> list[Figure]:
    """From the save of a flow to the first webhook that its new version answers."""
    with site(limit="1/hour") as place:
        for n in range(20):
            place.flow(f"other{n}", TYPICAL.format(n=n, minute=n))
        path = place.flow("hook", HOOK_FLOW)
        place.start_daemon()
        waits = []
        for n in range(12):
            text = HOOK_FLOW.replace("webhook: hook", f"webhook: hook{n}")
            started = time.monotonic()
            path.write_text(text)
            while not _answers(place.port, f"/hooks/hook{n}"):
                time.sleep(0.002)
            waits.append(time.monotonic() - started)
            time.sleep(0.3)
    return [
        Figure(
            "a saved flow is live after (median / worst of 12)",
            f"{median(waits) * 1000:.0f} / {max(waits) * 1000:.0f} ms",
            "≤ 300 ms",
        )
    ]


def starting() -> list[Figure]:
    """From the process's start to its first webhook answered 202; the baseline is an interpreter that imports httpx and SQLAlchemy."""
    waits, bare = [], []
    with site(limit="1/hour") as place:
        place.flow("hook", HOOK_FLOW)
        place.start_daemon()  # makes the database and the byte code
        place.stop()
        for _ in range(5):
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "conwp_bot", "--config", str(place.root / "config.yaml"), "run"],
                stderr=subprocess.DEVNULL,
            )
            place.processes.append(process)
            while not _answers(place.port, "/hooks/hook"):
                time.sleep(0.002)
            waits.append(time.monotonic() - started)
            place.stop()
            started = time.monotonic()
            subprocess.run([sys.executable, "-c", "import httpx, sqlalchemy"], check=True)
            bare.append(time.monotonic() - started)
    return [
        Figure(
            "start → first accepted webhook (median of 5)",
            f"{median(waits):.2f} s",
            "≤ 1 s",
            f"{median(waits) / median(bare):.1f} × importing httpx and SQLAlchemy ({median(bare):.2f} s)",
        )
    ]


def idle() -> list[Figure]:
    """A thousand cron flows that are not due: memory, and the share of a core over 20 s; the baseline has one flow."""
    found = {}
    for count in (1, 1000):
        with site(limit="1/hour") as place:
            for n in range(count):
                place.flow(
                    f"cron{n}",
                    f'triggers: [{{cron: "{n % 60} 3 1 1 *"}}]\nsteps: [{{send: {{to: "0555 123 45 67", text: "x {n}"}}}}]\n',
                )
            daemon = place.start_daemon()
            time.sleep(3)
            before = cpu_seconds(daemon.pid)
            time.sleep(20)
            found[count] = (memory_mb(daemon.pid), (cpu_seconds(daemon.pid) - before) / 20)
    (one_memory, _), (memory, share) = found[1], found[1000]
    return [
        Figure("memory, idle with one flow", f"{one_memory:.0f} MB", "≤ 90 MB"),
        Figure(
            "memory, idle with 1,000 cron flows", f"{memory:.0f} MB", "", f"{memory / one_memory:.2f} × with one flow"
        ),
        Figure("a core's share, idle with 1,000 cron flows", f"{share:.1%}", "≤ 1 %"),
    ]


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        body = json.dumps({"to": "0555 123 45 67", "name": "Ayşe", "number": 1})
        connection.request("POST", path, body, {"content-type": "application/json"})
        return connection.getresponse().status == 202
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
