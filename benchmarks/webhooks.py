"""Webhooks: stored and answered per second, accepted at the sandbox per second, and how long one takes at 50 a second."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from datetime import datetime
from typing import Any

import httpx

from benchmarks.kit import HOOK_FLOW, Figure, free_port, hook_request, load, median, percentile, read_answer, site


def stored() -> list[Figure]:
    """Answered 202 per second, each stored durably first; the baseline answers the same requests and stores nothing."""
    with site(limit="1/hour") as place:
        place.flow("hook", HOOK_FLOW)
        place.start_daemon()
        asyncio.run(load(place.port, connections=32, seconds=1))
        count, seconds = asyncio.run(load(place.port, connections=64, seconds=6))
    bare = _bare_rate()
    rate = count / seconds
    return [
        Figure(
            "webhooks stored and answered 202 per second",
            f"{rate:,.0f}",
            "≥ 1,500",
            f"{rate / bare:.2f} of a bare uvicorn ({bare:,.0f})",
        )
    ]


def accepted() -> list[Figure]:
    """Webhook to accepted at the sandbox, as fast as it goes with single sends; the baseline is httpx alone, four at a time."""
    total = 3000
    with site() as place:
        place.flow("hook", HOOK_FLOW)
        place.start_sandbox()
        place.start_daemon()

        async def run() -> float:
            started = time.monotonic()
            numbers = iter(range(total))

            async def one() -> None:
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                for n in numbers:
                    writer.write(hook_request(n))
                    assert await read_answer(reader) == 202
                writer.close()

            await asyncio.gather(*(one() for _ in range(8)))
            while place.state()["counts"]["accepted"] < total:
                await asyncio.sleep(0.02)
            return total / (time.monotonic() - started)

        rate = asyncio.run(run())
        alone = asyncio.run(_httpx_rate(f"{place.sandbox}/yonetim/api/index.php?endpoint=send-message"))
    return [
        Figure(
            "webhook → accepted per second, bulk off",
            f"{rate:,.0f}",
            "as far as httpx goes",
            f"{rate / alone:.2f} of httpx alone ({alone:,.0f})",
        )
    ]


def latency() -> list[Figure]:
    """From posting a webhook to its message's arrival at the sandbox, at 50 a second; the baseline posts to the sandbox directly."""
    count, pause = 1000, 0.02
    with site() as place:
        place.flow("hook", HOOK_FLOW)
        place.start_sandbox()
        place.start_daemon()

        async def run() -> list[float]:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            sent: dict[str, float] = {}
            for n in range(count + 50):
                due = time.monotonic() + pause
                sent[f"90555{n:07}"] = time.time()
                writer.write(hook_request(n))
                assert await read_answer(reader) == 202
                await asyncio.sleep(max(0, due - time.monotonic()))
            writer.close()
            while place.state()["counts"]["accepted"] < count + 50:
                await asyncio.sleep(0.05)
            waits = []
            for receipt in place.receipts():
                arrived = datetime.fromisoformat(receipt["arrived"]).timestamp()
                waits += [arrived - sent[message["receiver"]] for message in receipt["messages"]]
            return waits[50:]

        waits = asyncio.run(run())
        direct = asyncio.run(_direct_latency(f"{place.sandbox}/yonetim/api/index.php?endpoint=send-message"))
    ours = f"{median(waits) * 1000:.1f} / {percentile(waits, 0.99) * 1000:.1f} ms"
    theirs = f"{median(direct) * 1000:.1f} / {percentile(direct, 0.99) * 1000:.1f} ms"
    ratio = f"{median(waits) / median(direct):.1f} × a direct httpx post ({theirs})"
    return [Figure("webhook → arrives at the sandbox, 50/s, p50 / p99", ours, "p99 ≤ 8 ms", ratio)]


def _bare_rate() -> float:
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve_bare, args=(port,), daemon=True)
    process.start()
    try:
        while True:
            try:
                asyncio.run(load(port, connections=1, seconds=0.1))
                break
            except OSError:
                time.sleep(0.05)
        count, seconds = asyncio.run(load(port, connections=64, seconds=3))
    finally:
        process.terminate()
        process.join()
    return count / seconds


def _serve_bare(port: int) -> None:
    import uvicorn

    async def app(_scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, http="httptools", lifespan="off")


async def _httpx_rate(url: str, total: int = 1500) -> float:
    body = {"receiver": "905551234567", "data": {"message": "Merhaba"}}
    async with httpx.AsyncClient(headers={"X-API-Key": "bench"}, trust_env=False) as client:
        numbers = iter(range(total))

        async def one() -> None:
            for _ in numbers:
                (await client.post(url, json=body)).raise_for_status()

        started = time.monotonic()
        await asyncio.gather(*(one() for _ in range(4)))
        return total / (time.monotonic() - started)


async def _direct_latency(url: str, count: int = 200) -> list[float]:
    body = {"receiver": "905551234567", "data": {"message": "Merhaba"}}
    waits = []
    async with httpx.AsyncClient(headers={"X-API-Key": "bench"}, trust_env=False) as client:
        for _ in range(count):
            started = time.monotonic()
            await client.post(url, json=body)
            waits.append(time.monotonic() - started)
            await asyncio.sleep(0.02)
    return waits
