"""The API's one address: reads a request, asks the contract, lets faults strike, writes the receipt, answers.

Raw ASGI: this is the path that benchmarks share two cores with.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from conwp_bot.clock import Clock
from conwp_bot.sandbox.contract import METHODS, Answer, Ask, Provider, read_body, refusal
from conwp_bot.sandbox.faults import Fault, FaultBook, FaultKind
from conwp_bot.sandbox.receipts import ReceiptLog, instant, to_text
from conwp_bot.sandbox.wire import Receive, Scope, Send, cut, disconnected

_LARGEST_BODY = 16 * 1024 * 1024
_JSON = (b"content-type", b"application/json; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_PROXY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_GARBAGE = '{"success": tr\x00\x17<<<'
_DRIPS = 20


class Endpoint:
    """Serves the API for one provider. `stopping` ends whatever hangs."""

    def __init__(self, provider: Provider, faults: FaultBook, log: ReceiptLog, clock: Clock) -> None:
        self._provider = provider
        self._faults = faults
        self._log = log
        self._clock = clock
        self.stopping = asyncio.Event()
        self.counts = {"requests": 0, "accepted": 0, "refused": 0, "cut": 0, "messages": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, arrived = self._clock.monotonic(), self._clock.now()
        endpoint, key = _parse_query(scope["query_string"])
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                key = value.decode("utf-8", "replace").strip() or key
                break
        ask = Ask(endpoint, scope["method"], key)

        fault = self._faults.take(ask, unread=True) if self._faults else None
        if fault is None:
            body, complete = await _read(receive)
            if body is None:
                ask.wrong = f"the body is larger than {_LARGEST_BODY} bytes"
            elif not complete:
                # The body never came whole: no provider could have acted on it, so it counts nowhere.
                self._record(ask, arrived, self._clock.now(), None, None, cut_off=True, fault="body_incomplete")
                return
            elif ask.method == METHODS.get(endpoint) == "POST":
                read_body(ask, body)
            if self._faults:
                fault = self._faults.take(ask, unread=False)

        wait = self._provider.options.latency.total_seconds()
        if fault is not None and fault.seconds and fault.kind not in (FaultKind.HANG, FaultKind.DRIP):
            wait += fault.seconds
        if wait:
            await self._sleep(wait)

        answer = self._decide(ask, fault, arrived, began)
        if fault is None:
            await _answer(
                send, answer.status, to_text(answer.body).encode("utf-8", "replace"), retry_after=answer.retry_after
            )
        else:
            await self._answer_faulty(fault, answer, scope, receive, send)

    def _decide(self, ask: Ask, fault: Fault | None, arrived: datetime, began: float) -> Answer:
        """Count the request, carry it out unless a fault is in the way, and write its receipt."""
        now = self._clock.now()
        account = self._provider.account(ask.key)
        within_limit = account is not None and account.window.take(now)
        if fault is None or fault.accepts:
            failing = fault.failed if fault is not None and fault.kind is FaultKind.PARTIAL_BULK else 0
            answer = self._provider.answer(ask, account, within_limit, now, failing=failing)
            good = answer.status == 200
        else:
            answer, good = refusal(fault.status or 500), False
        if account is not None:
            if good:
                account.successful += 1
            else:
                account.failed += 1
            account.seconds += self._clock.monotonic() - began
        status: int | None = answer.status
        body: Any = answer.body
        cut_off = False
        if fault is not None:
            status, body, cut_off = _as_told(fault, answer)
            if fault.retry_after is not None:
                answer.retry_after = str(fault.retry_after)
        self._record(ask, arrived, now, status, body, cut_off, fault.kind.value if fault else None, answer.retry_after)
        return answer

    def _record(
        self,
        ask: Ask,
        arrived: datetime,
        now: datetime,
        status: int | None,
        body: Any,
        cut_off: bool,
        fault: str | None,
        retry_after: str | None = None,
    ) -> None:
        accepted = sum(message["accepted"] for message in ask.messages)
        counts = self.counts
        counts["requests"] += 1
        counts["messages"] += accepted
        counts["accepted"] += status == 200 and not cut_off
        counts["refused"] += status is not None and status != 200
        counts["cut"] += cut_off
        at = instant(now)
        self._log.record(
            {
                "n": 0,
                "time": at,
                "arrived": at if arrived == now else instant(arrived),
                "endpoint": ask.endpoint,
                "method": ask.method,
                "key": ask.key,
                "messages": ask.messages,
                "answer": {"status": status, "body": body, "cut": cut_off, "retry_after": retry_after},
                "fault": fault,
            }
        )

    async def _answer_faulty(self, fault: Fault, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        status, said, _ = _as_told(fault, answer)
        text = said if isinstance(said, str) else to_text(said)
        body = text.encode("utf-8", "replace")
        match fault.kind:
            case FaultKind.CUT_BEFORE | FaultKind.CUT_AFTER:
                await cut(scope, receive, reset=fault.reset)
            case FaultKind.HANG:
                gone = asyncio.ensure_future(disconnected(receive))
                await self._sleep(fault.seconds, gone)
                gone.cancel()
                await cut(scope, receive, reset=fault.reset)
            case FaultKind.CUT_MID_ANSWER:
                body = to_text(answer.body).encode("utf-8", "replace")
                await send(_start(answer.status, len(body), _JSON, answer.retry_after))
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                await cut(scope, receive, reset=fault.reset, flush=True)
            case FaultKind.DRIP:
                await send(_start(answer.status, len(body), _JSON, answer.retry_after))
                size = max(1, len(body) // _DRIPS)
                pieces = [body[at : at + size] for at in range(0, len(body), size)]
                for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await self._sleep((5.0 if fault.seconds is None else fault.seconds) / len(pieces))
                await send({"type": "http.response.body", "body": b""})
            case FaultKind.GARBAGE if fault.raw:
                scope["transport"].write(body)
                await cut(scope, receive, reset=fault.reset, flush=True)
            case _:
                kind = _HTML if fault.kind is FaultKind.HTML else _JSON
                await _answer(send, status or 200, body, kind, answer.retry_after)
                if fault.kind is FaultKind.CLOSE_AFTER_ANSWER:
                    scope["transport"].close()

    async def _sleep(self, seconds: float | None, other: asyncio.Future[Any] | None = None) -> None:
        """Wait `seconds` of real time (None: for ever), but never longer than the sandbox runs or until `other` is done."""
        stop: asyncio.Future[Any] = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait(
                [stop] if other is None else [stop, other], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            stop.cancel()


def _as_told(fault: Fault, answer: Answer) -> tuple[int | None, Any, bool]:
    """Return what the client is told because of a fault: status, body, and whether it is cut short."""
    body = answer.body if fault.body is None else fault.body
    match fault.kind:
        case FaultKind.CUT_BEFORE | FaultKind.CUT_AFTER | FaultKind.HANG:
            return None, None, True
        case FaultKind.CUT_MID_ANSWER:
            return answer.status, None, True
        case FaultKind.STATUS:
            return fault.status, body, False
        case FaultKind.HTML:
            return fault.status or 502, _PROXY_PAGE if fault.body is None else fault.body, False
        case FaultKind.GARBAGE if fault.raw:
            return None, "this is not HTTP\r\n" if fault.body is None else fault.body, True
        case FaultKind.GARBAGE:
            return fault.status or 200, _GARBAGE if fault.body is None else fault.body, False
        case FaultKind.EMPTY:
            return fault.status or 200, "", False
        case FaultKind.SUCCESS_FALSE:
            return (
                fault.status or 200,
                {"success": False, "error": "Message could not be sent"} if fault.body is None else body,
                False,
            )
        case _:
            return answer.status, body, False


@lru_cache(maxsize=1024)
def _parse_query(query: bytes) -> tuple[str, str]:
    """Return the endpoint and the key that a query string names, each empty when it does not."""
    said = parse_qs(query.decode("utf-8", "replace"))
    return said.get("endpoint", [""])[-1], said.get("api_key", [""])[-1].strip()


async def _read(receive: Receive) -> tuple[bytes | None, bool]:
    """Return the body (None when it is too large) and whether it came whole."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return b"", False
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body, True
    parts, size = [body], len(body)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"", False
        size += len(message.get("body", b""))
        if size <= _LARGEST_BODY:
            parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return (b"".join(parts) if size <= _LARGEST_BODY else None), True


def _start(status: int, length: int, kind: tuple[bytes, bytes], retry_after: str | None) -> dict[str, Any]:
    headers = [kind, (b"content-length", b"%d" % length)]
    if retry_after is not None:
        headers.append((b"retry-after", retry_after.encode("latin-1", "replace")))
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _answer(
    send: Send, status: int, body: bytes, kind: tuple[bytes, bytes] = _JSON, retry_after: str | None = None
) -> None:
    await send(_start(status, len(body), kind, retry_after))
    await send({"type": "http.response.body", "body": body})
