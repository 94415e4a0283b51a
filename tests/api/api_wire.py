"""A server of raw bytes: what it received is the truth, and what it answers is whatever a test writes."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from conwp_bot.api.client import ConwpClient
from conwp_bot.model.message import Content
from conwp_bot.model.recipient import Recipient
from conwp_bot.model.secret import Secret

KEY = "sk_live/Canary+7f3a9b"
SENT = b'{"success": true, "message_id": 123, "status": "sent"}'


HELLO = Content("Merhaba Ayşe!")
NUMBER = Recipient("905551234567")


@dataclass(frozen=True)
class Message:
    content: Content = HELLO
    recipient: Recipient = NUMBER


class Connection:
    """One accepted connection; `received` is every byte that came, `ended` is set when the peer has closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.ended = asyncio.Event()

    async def read(self, size: int = 65536) -> bytes:
        try:
            data = await self.reader.read(size)
        except ConnectionError:
            data = b""
        self.received += data
        if not data:
            self.ended.set()
        return data

    async def until(self, there: Callable[[bytes], bool]) -> bytes:
        start = len(self.received)
        while not there(bytes(self.received[start:])):
            if not await self.read():
                break
        return bytes(self.received[start:])

    async def request(self) -> bytes:
        """Read one whole request; b"" when the peer closed instead."""
        return await self.until(is_whole)

    async def head(self) -> bytes:
        return await self.until(lambda data: b"\r\n\r\n" in data)

    async def drain_to_end(self) -> None:
        while await self.read():
            pass

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with a RST, as a crashed server or a middlebox does."""
        raw: Any = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


class Server:
    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[Connection] = []
        self.accepted = asyncio.Event()

    @property
    def received(self) -> bytes:
        return b"".join(bytes(one.received) for one in self.connections)

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/yonetim/api/index.php"


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None):
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        connection = Connection(reader, writer)
        server.connections.append(connection)
        server.accepted.set()
        try:
            await script(connection)
        finally:
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def client(server: Server | str, *, key: str = KEY, timeout: float = 5.0, **options: Any) -> ConwpClient:
    url = server if isinstance(server, str) else server.url()
    return ConwpClient(url, Secret(key), timeout=timedelta(seconds=timeout), **options)


def is_whole(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= (int(lengths[0].split(b":")[1]) if lengths else 0)


def reply(body: bytes = SENT, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(data: bytes) -> Script:
    """Answer each request of a connection with `data`."""

    async def script(connection: Connection) -> None:
        while await connection.request():
            connection.send(data)

    return script


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


async def nothing() -> None:
    """A reservation that always succeeds."""


BIG = Message(content=Content("ş" * 8_000_000))


def sent_to(script, message=None, *, timeout=5.0, before=nothing, **options):
    """Send one message to a server with this script; return the outcome and the server."""

    async def go():
        async with serving(script) as server, client(server, timeout=timeout, **options) as api:
            return await api.send_message(message or Message(), before_first_byte=before), server

    return asyncio.run(go())


async def close_after_body(connection: Connection):
    await connection.request()
    connection.close()


async def reset_after_body(connection: Connection):
    await connection.request()
    connection.reset()


def then(data: bytes, end: str = "close"):
    async def script(connection: Connection):
        await connection.request()
        connection.send(data)
        await connection.writer.drain()
        getattr(connection, end)()

    return script
