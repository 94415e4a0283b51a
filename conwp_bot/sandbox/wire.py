"""uvicorn inside the caller's loop, with a way to the TCP connection: cuts are real ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from conwp_bot.errors import ConwpBotError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_GRACE = 2.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TransportProtocol(HttpToolsProtocol):
    """uvicorn's protocol; each request's scope holds its connection as `transport`."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["transport"] = self.transport  # type: ignore[typeddict-unknown-key]


class EmbeddedServer(uvicorn.Server):
    """A server that leaves the process's signals alone, says when it listens, and stops at once when asked."""

    def __init__(self, app: App, keep_alive: float) -> None:
        config = uvicorn.Config(
            app,
            http=TransportProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,  # the clock may be a moved one
            timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # an int only by its annotation
        )
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self._stop.wait()  # without uvicorn's tick: an idle sandbox costs nothing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what listens, let requests under way end, then close the rest; uvicorn's own takes a tenth of a second for it."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        connections, tasks = self.server_state.connections, self.server_state.tasks
        for connection in list(connections):
            connection.shutdown()
        if tasks:
            _, late = await asyncio.wait(list(tasks), timeout=_GRACE)
            for task in late:
                task.cancel()
        for pause in range(20):
            if not connections:
                break
            if pause == 10:
                for connection in list(connections):
                    connection.transport.abort()
            await asyncio.sleep(0)

    def stop(self) -> None:
        """End `serve`: no new connections, requests under way get two seconds."""
        self.should_exit = True
        self._stop.set()


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one. Raises ConwpBotError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; without that, each answer takes 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConwpBotError(
            f"the sandbox cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another port (`sandbox --listen`, `run --sandbox-listen`)",
        ) from None
    return sock


async def cut(scope: Scope, receive: Receive, *, reset: bool, flush: bool = False) -> None:
    """End the connection now: by RST if `reset`, otherwise by FIN; with `flush` what was written is still delivered."""
    transport: asyncio.Transport = scope["transport"]
    if reset:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    if flush and not reset:
        transport.close()
    else:
        transport.abort()
    await disconnected(receive)


async def disconnected(receive: Receive) -> None:
    """Wait until the connection is gone: uvicorn would answer 500 for an app that returns earlier without an answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
