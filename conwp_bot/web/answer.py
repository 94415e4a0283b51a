"""Answering over bare ASGI: what the hot path needs, and no more."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, Receive, Send], Awaitable[None]]


async def answer_json(
    send: Send, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, close: bool = False
) -> None:
    """Send a whole JSON answer; `close` ends the connection after it, for a request whose body was not read."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    lines = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
    ]
    if headers:
        lines += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if close:
        lines.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})
