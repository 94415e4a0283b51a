"""The daemon's control socket: the operations as JSON over HTTP on a Unix socket that only its owner may open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from conwp_bot.app.answers import Fired, FlowStatus
from conwp_bot.errors import ConwpBotError

SOCKET_NAME = "control.sock"
LONGEST_SOCKET_PATH = 100
"""The kernel takes 108 bytes; a longer path is reached through its folder's descriptor."""

CALL_SECONDS = 150.0
_ADDRESS = "http://conwp-bot"


class RemoteOperations:
    """Operations of a running daemon, over its socket."""

    daemon = True

    def __init__(self, client: httpx.AsyncClient, folder: int | None) -> None:
        self._client = client
        self._folder = folder

    async def close(self) -> None:
        """Let go of the socket."""
        await self._client.aclose()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def flows(self) -> list[FlowStatus]:
        found: list[FlowStatus] = await self._call("GET", "/flows")
        return found

    async def fire(self, flow: str, *, payload: Any = None, file: Path | None = None) -> Fired:
        asked = {"flow": flow, "payload": payload, "file": str(file.resolve()) if file else None}
        return Fired(**await self._call("POST", "/fire", asked))

    async def send(self, to: list[str], text: str, *, kind: str, media: str | None, account: str) -> Fired:
        asked = {"to": to, "text": text, "kind": kind, "media": media, "account": account}
        return Fired(**await self._call("POST", "/send", asked))

    async def devices(self, account: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._call("GET", "/devices", query={"account": account})
        return found

    async def status(self, account: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("GET", "/status", query={"account": account})
        return found

    async def reload(self) -> list[dict[str, Any]]:
        problems: list[dict[str, Any]] = await self._call("POST", "/reload")
        return problems

    async def info(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("GET", "/info")
        return found

    async def _call(self, method: str, path: str, asked: Any = None, *, query: Mapping[str, str] | None = None) -> Any:
        try:
            response = await self._client.request(method, path, json=asked, params=query)
        except httpx.HTTPError as error:
            raise ConwpBotError(
                f"the daemon did not answer: {type(error).__name__}",
                hint="see its log; `conwp-bot runs` shows what was stored",
            ) from error
        if response.status_code not in (200, 409):
            raise ConwpBotError("the daemon failed to answer; its log has the details")
        said = response.json()
        if "error" in said:
            raise ConwpBotError(said["error"], hint=said.get("hint"))
        return said["answer"]


async def connect(data: Path) -> RemoteOperations | None:
    """Return the operations of the daemon that works on a data folder, or None when there is none."""
    if not (data / SOCKET_NAME).exists():
        return None
    path, folder = socket_path(data)
    transport = httpx.AsyncHTTPTransport(uds=path)
    client = httpx.AsyncClient(transport=transport, base_url=_ADDRESS, timeout=CALL_SECONDS, trust_env=False)
    remote = RemoteOperations(client, folder)
    try:
        await client.get("/info", timeout=5.0)
    except httpx.HTTPError:
        await remote.close()
        return None
    return remote


def socket_path(data: Path) -> tuple[str, int | None]:
    """Return a path to the socket that is short enough for the kernel, and the descriptor to keep open as long as it is used."""
    path = str(data / SOCKET_NAME)
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path, None
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{SOCKET_NAME}", folder
