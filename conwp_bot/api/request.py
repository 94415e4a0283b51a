"""What goes over the wire: the four endpoints' URLs, headers and bodies, exactly as documented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from conwp_bot.errors import SettingsError
from conwp_bot.model.message import Content
from conwp_bot.model.recipient import Recipient
from conwp_bot.model.secret import Secret


class Sendable(Protocol):
    """What a request needs of a message; `Outgoing` is one."""

    @property
    def recipient(self) -> Recipient: ...

    @property
    def content(self) -> Content: ...


def endpoint_url(base_url: str, endpoint: str) -> str:
    """Return the URL of an endpoint: `base_url` with its own query kept and `endpoint` set.

    Raises SettingsError for what is no http or https URL, and for one that carries a key or a password: the key travels in the
    header only, because URLs end up in the logs of every proxy on the way.
    """
    try:
        parts = urlsplit(base_url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError("base_url is no http or https URL", hint="e.g. https://conwp.com/yonetim/api/index.php")
    if "@" in parts.netloc:
        raise SettingsError("base_url holds a user name or password", hint="take it out; the key belongs in api_key")
    kept = [pair for pair in parts.query.split("&") if pair]
    names = {unquote_plus(pair.partition("=")[0]) for pair in kept}
    if "api_key" in names:
        raise SettingsError("base_url holds an api_key", hint="take it out of the URL; the key belongs in api_key")
    kept = [pair for pair in kept if unquote_plus(pair.partition("=")[0]) != "endpoint"]
    return urlunsplit(
        parts._replace(path=parts.path or "/", query="&".join([*kept, f"endpoint={endpoint}"]), fragment="")
    )


def header_key(api_key: Secret) -> bytes:
    """Return the key as a header's value; raises SettingsError, without showing it, for one that no header can hold."""
    key = api_key.reveal()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "the API key is empty, or holds spaces, line breaks or letters outside ASCII",
            hint="copy it again, without quotes and without the line's end",
        )
    return key.encode("ascii")


def message_body(message: Sendable) -> bytes:
    """Return the body of `send-message`."""
    return _encode(_message(message))


def bulk_body(messages: Sequence[Sendable]) -> bytes:
    """Return the body of `send-bulk-message`."""
    return _encode({"messages": [_message(message) for message in messages]})


def _message(message: Sendable) -> dict[str, Any]:
    content = message.content
    data = {"message": content.text}
    if content.kind != "text" or content.media_url is not None:
        # Only `message` stands in every documented example: a plain text sends nothing else.
        data["message_type"] = content.kind
        if content.media_url is not None:
            data["media_url"] = content.media_url
    return {"receiver": str(message.recipient), "data": data}


def _encode(value: dict[str, Any]) -> bytes:
    # Half an emoji (a lone surrogate from a payload's \ud83d) has no UTF-8: it becomes "?", and the rest of the text arrives.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")
