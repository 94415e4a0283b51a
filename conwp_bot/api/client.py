"""ConWP over HTTP: a method for each endpoint. The only module that uses httpx.

It speaks to `httpx.AsyncHTTPTransport` and leaves `httpx.AsyncClient` out: no redirects, cookies, proxies from the environment
or content decoding to switch off, no log line per request, and half the time per request. Each request in flight has a transport
of one connection, thrown away after anything but a clean exchange: httpcore's pool can lose a place for good when a request is
cancelled while it waits there, and a daemon runs for months.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from conwp_bot.api.detail import redactor
from conwp_bot.api.outcome import Answer, Exchange, Progress, judge_answer, judge_bulk, judge_message
from conwp_bot.api.reading import read_devices, read_status
from conwp_bot.api.request import Sendable, bulk_body, endpoint_url, header_key, message_body
from conwp_bot.clock import Clock, SystemClock
from conwp_bot.model.account import AccountStatus, Device
from conwp_bot.model.duration import format_duration
from conwp_bot.model.outcome import Outcome
from conwp_bot.model.secret import Secret

# At DEBUG httpcore prints an answer's headers, in which a server may echo the key.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

BeforeFirstByte = Callable[[], Awaitable[None]]
"""Awaited when the connection stands, just before the request's first byte; if it raises, nothing is written."""

BODY_CAP = 256 * 1024
"""Bytes of an answer that are read; a longer one is no answer of ConWP's."""

# A request on a connection that the server has just dropped is doubtful for nothing: its last byte is written, and no answer comes.
# Servers keep idle connections for 5 s (Apache, Node) to 75 s (nginx). So one that idled longer than this second is closed and not
# used, one that the server has closed by then is noticed, and a backlog still flows without a handshake per message.
KEEPALIVE = 1.0


class ConwpClient:
    """The API of one account. Methods answer with an outcome and raise only what `before_first_byte` raised.

    `timeout` bounds a whole call: waiting for a free connection, connecting (name, TCP, TLS: `connect_timeout` each), writing
    (`write_timeout` per piece) and the whole answer. It stands still while `before_first_byte` runs, which commits and must not be
    cut halfway; if it has passed by then, nothing is written. At most `concurrency` requests are in flight; the rest wait in turn.
    A cancelled call closes its connection; its caller knows from `before_first_byte` whether it may have gone out.
    Raises SettingsError for a base URL or key that cannot be used. `ssl_context` replaces the usual certificate authorities.
    """

    def __init__(
        self,
        base_url: str,
        api_key: Secret,
        *,
        timeout: timedelta,
        connect_timeout: timedelta = timedelta(seconds=5),
        write_timeout: timedelta = timedelta(seconds=10),
        concurrency: int = 4,
        user_agent: str = "conwp-bot",
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        key = header_key(api_key)
        self._redact = redactor(api_key.reveal())
        self._send_url, self._bulk_url, self._devices_url, self._status_url = (
            httpx.URL(endpoint_url(base_url, name))
            for name in ("send-message", "send-bulk-message", "devices", "status")
        )
        self._headers = [
            (b"Host", self._send_url.netloc),
            (b"User-Agent", user_agent.encode("ascii", errors="replace")),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),  # answers are short, and a compressed one could be a bomb
            (b"X-API-Key", key),
        ]
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._write_timeout = write_timeout
        self._phases = {
            "connect": connect_timeout.total_seconds(),
            "write": write_timeout.total_seconds(),
            "read": None,  # the whole call's deadline ends a server that drips, which a deadline per read does not
            "pool": None,
        }
        self._ssl_context = ssl_context
        self._clock = clock or SystemClock()
        self._free = asyncio.Semaphore(concurrency)
        self._idle: list[_Line] = []  # last in, first out: a quiet account keeps one connection warm, not four
        self._closed = False

    def __repr__(self) -> str:
        return f"ConwpClient({self._send_url.host!r})"

    async def send_message(self, message: Sendable, *, before_first_byte: BeforeFirstByte) -> Outcome:
        """Send one message by `send-message`."""
        exchange = await self._exchange(self._send_url, message_body(message), before_first_byte)
        return judge_message(exchange, now=self._clock.now(), redact=self._redact)

    async def send_bulk(self, messages: Sequence[Sendable], *, before_first_byte: BeforeFirstByte) -> Outcome:
        """Send messages by `send-bulk-message`, in one request; one outcome for all of them. Raises ValueError for none."""
        if not messages:
            raise ValueError("a bulk request needs a message")
        exchange = await self._exchange(self._bulk_url, bulk_body(messages), before_first_byte)
        return judge_bulk(exchange, len(messages), now=self._clock.now(), redact=self._redact)

    async def devices(self, *, before_first_byte: BeforeFirstByte) -> Answer[tuple[Device, ...]]:
        """Ask for the phones behind the account."""
        exchange = await self._exchange(self._devices_url, None, before_first_byte)
        return judge_answer(exchange, read_devices, now=self._clock.now(), redact=self._redact)

    async def status(self, *, before_first_byte: BeforeFirstByte) -> Answer[AccountStatus]:
        """Ask for ConWP's own books on the account."""
        exchange = await self._exchange(self._status_url, None, before_first_byte)
        return judge_answer(exchange, read_status, now=self._clock.now(), redact=self._redact)

    async def aclose(self) -> None:
        """Close the idle connections; calls in flight end by themselves (or by being cancelled) and close theirs."""
        self._closed = True
        while self._idle:
            await self._idle.pop().transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _exchange(self, url: httpx.URL, body: bytes | None, before: BeforeFirstByte) -> Exchange:
        if self._closed:
            raise RuntimeError("the client is closed")
        call = _Call(body, before)
        fault = ""
        try:
            async with asyncio.timeout(self._timeout.total_seconds()) as call.deadline, self._free:
                await self._carry_out(url, call)
        except Exception as error:
            # Any exception, known or not: what it means depends on how far the request got, not on its class. httpx raises ReadError,
            # RemoteProtocolError and timeouts on both sides of the last byte.
            fault = self._describe(error, call.progress)
        if call.raised is not None:
            raise call.raised
        return Exchange(
            call.progress,
            fault="" if call.whole else fault,
            status=call.status,
            body=bytes(call.answer),
            retry_after=call.retry_after,
            location=call.location,
        )

    async def _carry_out(self, url: httpx.URL, call: _Call) -> None:
        line = self._idle.pop() if self._idle else _Line(self._transport())
        call.line = line
        headers = self._headers
        if call.body is not None:
            length = str(len(call.body)).encode("ascii")
            headers = [*headers, (b"Content-Type", b"application/json"), (b"Content-Length", length)]
        request = httpx.Request(
            "GET" if call.body is None else "POST",
            url,
            headers=headers,
            stream=call,
            extensions={"timeout": self._phases, "trace": call.trace},
        )
        try:
            response = await line.transport.handle_async_request(request)
            await call.read(response)
        except BaseException:
            await line.transport.aclose()
            raise
        line.fresh = False
        if self._closed:
            await line.transport.aclose()
        else:
            self._idle.append(line)

    def _transport(self) -> httpx.AsyncHTTPTransport:
        if self._ssl_context is None:
            # The authorities take 20 ms to read, so only who needs them does; a plain http URL never uses this context.
            secure = self._send_url.scheme == "https"
            self._ssl_context = (
                httpx.create_ssl_context(trust_env=False) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
        return httpx.AsyncHTTPTransport(
            verify=self._ssl_context,
            trust_env=False,
            http2=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE),
        )

    def _describe(self, error: Exception, progress: Progress) -> str:
        host = self._send_url.netloc.decode("ascii")
        match error:
            case _NotWritten() | _TooLong():
                return str(error)
            case TimeoutError() if progress is Progress.NOT_BEGUN:
                return f"no free connection to {host} within {format_duration(self._timeout)}"
            case TimeoutError():
                return f"no complete answer within {format_duration(self._timeout)}"
            case httpx.ConnectTimeout():
                return f"no connection to {host} within {format_duration(self._connect_timeout)}"
            case httpx.ConnectError():
                return f"no connection to {host}: {_cause(error)}"
            case httpx.WriteTimeout():
                return f"the server took no data for {format_duration(self._write_timeout)}"
            case httpx.ReadError() | httpx.WriteError():
                return "the connection broke"
            case _:
                return str(error) or type(error).__name__


class _NotWritten(Exception):
    """Nothing was written, and the request ends here."""


class _TooLong(Exception):
    """The answer is longer than any answer of ConWP's."""


class _Line:
    """A transport of one connection. `stream` is the connection as httpcore's trace gave it; `fresh` until it carried a request."""

    def __init__(self, transport: httpx.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.stream: Any = None
        self.fresh = True

    def is_dropped(self) -> bool:
        """Say whether the server closed the connection while it idled: then it is readable, although nobody asked for anything.

        A fresh one is not asked: after a TLS handshake, session tickets may lie there to be read.
        """
        return not self.fresh and self.stream is not None and bool(self.stream.get_extra_info("is_readable"))


class _Call(httpx.AsyncByteStream):
    """One request under way: the gate before its first byte, its body as httpcore takes it, and what came back so far."""

    deadline: asyncio.Timeout
    line: _Line

    def __init__(self, body: bytes | None, before: BeforeFirstByte) -> None:
        self.body = body
        self.progress = Progress.NOT_BEGUN
        self.raised: Exception | None = None
        self.status: int | None = None
        self.retry_after: str | None = None
        self.location: str | None = None
        self.answer = bytearray()
        self.whole = False
        self._before = before
        self._pieces = [body[-1:], body[:-1]] if body else []

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Follow httpcore's steps (its `trace` extension, awaited in the middle of them)."""
        if event == "http11.send_request_headers.started":
            await self._begin()
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.line.stream = info["return_value"]
            self.line.fresh = True

    async def _begin(self) -> None:
        until = self.deadline.when()
        assert until is not None
        self.deadline.reschedule(None)
        try:
            await self._before()
        except Exception as error:
            # Kept aside, because httpcore swallows or retries some exceptions if they happen to be its own.
            self.raised = error
            raise _NotWritten("refused before the first byte") from None
        if asyncio.get_running_loop().time() >= until:
            raise _NotWritten("the deadline passed before the first byte")
        self.deadline.reschedule(until)
        if self.line.is_dropped():
            raise _NotWritten("the server closed the idle connection before the first byte")
        self.progress = Progress.BEGUN if self.body else Progress.WRITTEN

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # Two pieces, the last byte alone: while it is not handed over, the server has neither the length that was announced nor
        # a JSON text that ends. httpcore's own `send_request_body.complete` would come too late: the byte may be out by then.
        if not self._pieces:
            raise StopAsyncIteration
        piece = self._pieces.pop()
        if not self._pieces:
            self.progress = Progress.WRITTEN
        return piece

    async def read(self, response: httpx.Response) -> None:
        """Read the answer to its end; raises _TooLong above the cap, and whatever the connection does."""
        self.status = response.status_code
        self.retry_after = response.headers.get("retry-after")
        self.location = response.headers.get("location")
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            # httpx's iterators are generators, though declared as plain iterators.
            async with aclosing(stream.__aiter__()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    self.answer += piece
                    if len(self.answer) > BODY_CAP:
                        raise _TooLong(f"an answer longer than {BODY_CAP // 1024} KiB")
            self.whole = True
        finally:
            await stream.aclose()


def _cause(error: BaseException) -> str:
    """Return the words of the error at the bottom: httpcore and anyio wrap "Connection refused" in less telling ones."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper.exceptions[0] if isinstance(deeper, BaseExceptionGroup) else deeper
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own words are "Connect call failed ('127.0.0.1', 80)"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
