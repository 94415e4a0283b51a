"""`POST /hooks/NAME`: reads a webhook's request within bounds and hands it to the receiver."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from conwp_bot.model.hook import HookReceiver, HookRequest
from conwp_bot.web.answer import ASGIScope, Receive, Send, answer_json

PREFIX = "/hooks/"
LARGEST_BODY = 1024 * 1024
MOST_HEADERS = 100
BODY_SECONDS = 30.0
"""How long a whole body may take to arrive."""


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Gone(Exception):
    """The sender hung up."""


class HookEndpoint:
    """An ASGI application for the paths below PREFIX; refuses what is too large or too slow without reading it whole."""

    def __init__(self, receiver: HookReceiver, *, body_seconds: float = BODY_SECONDS) -> None:
        self._receiver = receiver
        self._body_seconds = body_seconds

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        name = scope["path"][len(PREFIX) :]
        if not self._receiver.knows(name):
            await answer_json(send, 404, {"error": "no flow listens here"}, close=True)
            return
        raw = scope["headers"]
        if len(raw) > MOST_HEADERS:
            await answer_json(send, 431, {"error": f"more than {MOST_HEADERS} headers"}, close=True)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in raw}
        try:
            body = await self._body(headers.get("content-length"), receive)
        except _Refused as error:
            await answer_json(send, error.status, {"error": str(error)}, close=True)
            return
        except _Gone:
            return
        query = scope["query_string"]
        request = HookRequest(
            name=name,
            method=scope["method"],
            headers=headers,
            query=_query(query) if query else {},
            body=body,
        )
        answer = await self._receiver.receive(request)
        await answer_json(send, answer.status, answer.body, answer.headers)

    async def _body(self, length: str | None, receive: Receive) -> bytes:
        if length is not None and length.isdecimal() and int(length) > LARGEST_BODY:
            raise _Refused(413, f"the body is larger than {LARGEST_BODY} bytes")
        try:
            async with asyncio.timeout(self._body_seconds):
                message = await receive()
                if message["type"] == "http.request" and not message.get("more_body"):
                    body: bytes = message.get("body", b"")
                    if len(body) > LARGEST_BODY:
                        raise _Refused(413, f"the body is larger than {LARGEST_BODY} bytes")
                    return body
                parts = bytearray()
                while True:
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    parts += message.get("body", b"")
                    if len(parts) > LARGEST_BODY:
                        raise _Refused(413, f"the body is larger than {LARGEST_BODY} bytes")
                    if not message.get("more_body"):
                        return bytes(parts)
                    message = await receive()
        except TimeoutError:
            raise _Refused(408, f"the body did not arrive within {self._body_seconds:g} s") from None


def _query(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_HEADERS))
    except ValueError:  # too many fields: none of them is needed to take the event
        return {}
