"""uvicorn inside our loop: own sockets, no signals, no logs of its own, bounded heads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from conwp_bot.errors import SettingsError
from conwp_bot.web.answer import ASGIApp

LARGEST_HEAD = 64 * 1024
HEAD_SECONDS = 20.0
"""How long a request's head may take to arrive, also the first one's of a connection that says nothing."""

_BACKLOG = 1024


class WebServer:
    """Serves an ASGI application on sockets that are bound already, from `start` to `stop`."""

    def __init__(self, app: ASGIApp, sockets: Sequence[socket.socket], *, grace: float = 10.0) -> None:
        """`grace` is how many seconds requests under way have to end at the stop."""
        self._sockets = list(sockets)
        config = Config(
            app,
            http=_BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(grace)),
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: `127.0.0.1:8700`, or a path."""
        return tuple(_address(sock) for sock in self._sockets)

    async def start(self) -> None:
        """Begin to serve; returns once connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve(sockets=self._sockets), name="web")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            self._serving.result()

    async def stop(self) -> None:
        """Accept no more, let requests under way end, close; a socket's path is removed."""
        paths = [path for sock in self._sockets if (path := _path(sock))]
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        for sock in self._sockets:
            sock.close()
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - a path of our own, unlinked at once


class _Server(Server):
    """uvicorn's server, without its signal handlers: the daemon has its own."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn bounds neither a request's head nor how long it takes; here both have an end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def bind_tcp(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket; port 0 takes a free one. Raises SettingsError with what to do."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SettingsError(f"web.listen: {where} is no address of this machine: {error.strerror}") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        hint = (
            "another program listens there; choose another port in web.listen"
            if error.errno == errno.EADDRINUSE
            else None
        )
        raise SettingsError(f"web.listen: cannot listen on {where}: {error.strerror}", hint=hint) from None
    return sock


def bind_unix(path: Path) -> socket.socket:
    """Return a socket bound to `path` that only our user may open; what a dead process left there is replaced."""
    if len(os.fsencode(path)) > 107:
        raise SettingsError(f"the path of the control socket is too long: {path}", hint="use a shorter `data` folder")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        # On Linux the socket's own mode becomes that of its path: there is no moment at which others may connect.
        os.fchmod(sock.fileno(), 0o600)
        sock.bind(os.fspath(path))
        path.chmod(0o600)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise SettingsError(f"cannot listen on {path}: {error.strerror}") from None
    except SettingsError:
        sock.close()
        raise
    return sock


def _remove_dead(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SettingsError(f"{path} is in the way of the control socket", hint="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SettingsError(f"another process listens on {path}", hint="stop it first")


def _path(sock: socket.socket) -> str | None:
    return str(sock.getsockname()) if sock.family == socket.AF_UNIX and sock.fileno() >= 0 else None


def _address(sock: socket.socket) -> str:
    if sock.family == socket.AF_UNIX:
        return str(sock.getsockname())
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
