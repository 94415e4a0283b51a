"""What the sandbox's tests share: a running sandbox, and a client that knows nothing of our own API client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from conwp_bot.model.budget import Limit
from conwp_bot.sandbox import Sandbox, SandboxOptions
from conwp_bot.testing.clock import MovedClock

AYSE, AHMET = "905551234567", "905559876543"


def message(receiver: str = AYSE, text: str = "Merhaba", **data: Any) -> dict[str, Any]:
    return {"receiver": receiver, "data": {"message": text, **data}}


class Phone:
    """A client of one sandbox."""

    def __init__(self, sandbox: Sandbox, http: httpx.AsyncClient, clock: MovedClock) -> None:
        self.sandbox = sandbox
        self.http = http
        self.clock = clock

    async def send(self, said: Any = None, *, key: str = "k") -> httpx.Response:
        return await self.post("send-message", message() if said is None else said, key=key)

    async def bulk(self, *messages: Any) -> httpx.Response:
        return await self.post("send-bulk-message", {"messages": list(messages)})

    async def post(self, endpoint: str, said: Any, *, key: str = "k") -> httpx.Response:
        headers = {"X-API-Key": key} if key else {}
        return await self.http.post(self.sandbox.base_url, params={"endpoint": endpoint}, json=said, headers=headers)

    async def get(self, endpoint: str, *, key: str = "k") -> httpx.Response:
        headers = {"X-API-Key": key} if key else {}
        return await self.http.get(self.sandbox.base_url, params={"endpoint": endpoint}, headers=headers)

    async def control(self, path: str, said: Any = None, method: str = "POST") -> httpx.Response:
        return await self.http.request(method, f"{self.sandbox.address}/_sandbox/{path}", json=said)

    async def status(self) -> dict[str, Any]:
        return (await self.get("status")).json()


def with_sandbox(test: Callable[[Phone], Awaitable[None]], options: SandboxOptions | None = None) -> None:
    """Run a test against a sandbox of its own, whose clock the test moves."""

    async def run() -> None:
        clock = MovedClock()
        async with (
            Sandbox(options or SandboxOptions(), clock=clock) as sandbox,
            httpx.AsyncClient(timeout=10, trust_env=False) as http,
        ):
            await test(Phone(sandbox, http, clock))

    asyncio.run(asyncio.wait_for(run(), 30))


def per_hour(count: int) -> Limit:
    return Limit.parse(f"{count}/hour")
