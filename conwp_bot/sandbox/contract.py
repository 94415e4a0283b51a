"""What ConWP's documentation says of its API, and nothing else: a request in, an answer out.

The documentation is silent on the order of the checks and on the bodies of errors. Chosen here: key (401, 403), limit (429), endpoint
(404), method (405), body (400); and `{"success": false, "error": "…"}`. Nothing of this may be shared with the client in `api/`: both
would be wrong together.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any, TypedDict

from conwp_bot.sandbox.options import RetryAfter, SandboxOptions
from conwp_bot.sandbox.window import Window

API_PATH = "/yonetim/api/index.php"
METHODS = {"send-message": "POST", "send-bulk-message": "POST", "devices": "GET", "status": "GET"}
ERRORS = {
    400: "Invalid request",
    401: "Authentication failed",
    403: "Forbidden",
    404: "Endpoint not found",
    405: "Invalid HTTP method",
    429: "Rate limit exceeded",
    500: "Server error",
}
_DIGITS = re.compile(r"[0-9]{1,32}")


class Message(TypedDict):
    """A message as receipts show it."""

    receiver: str
    text: str
    type: str
    media_url: str | None
    message_id: int | None
    accepted: bool


@dataclass(slots=True)
class Ask:
    """A request. `messages` is what could be read of the body, `wrong` what keeps it from being valid."""

    endpoint: str
    method: str
    key: str
    messages: list[Message] = field(default_factory=list)
    wrong: str | None = None


@dataclass(slots=True)
class Answer:
    """A status, a body and at most one header of interest."""

    status: int
    body: dict[str, Any]
    retry_after: str | None = None


class Account:
    """What is counted per key."""

    __slots__ = ("failed", "messages", "seconds", "successful", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.successful = 0
        self.failed = 0
        self.seconds = 0.0
        self.messages = 0


def refusal(status: int, why: str = "") -> Answer:
    """Return the answer of an error."""
    text = ERRORS.get(status, "Error")
    return Answer(status, {"success": False, "error": f"{text}: {why}" if why else text})


class Provider:
    """The accounts behind the API. Its owner sets `options`; times come with each call."""

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.accounts: dict[str, Account] = {}
        self.last_message_id = 0

    def configure(self, options: SandboxOptions) -> None:
        """Go on under other options."""
        self.options = options
        for account in self.accounts.values():
            account.window = account.window.changed(options.limit, options.window, options.window_offset)

    def clear(self) -> None:
        """Forget all counts; message ids begin at 1 again."""
        self.accounts.clear()
        self.last_message_id = 0

    def account(self, key: str) -> Account | None:
        """Return the account that `key` opens, also a forbidden one; None when no account has this key."""
        account = self.accounts.get(key)
        if account is not None:
            return account
        options = self.options
        if not key or (options.keys is not None and key not in options.keys and key not in options.forbidden_keys):
            return None
        account = Account(Window(options.limit, options.window, options.window_offset))
        self.accounts[key] = account
        return account

    def answer(
        self, ask: Ask, account: Account | None, within_limit: bool, now: datetime, *, failing: int = 0
    ) -> Answer:
        """Do what the request asks; messages that were accepted are marked in it, with their ids.

        The first `failing` messages of a bulk request are not accepted: so that who pairs ids with messages in order is wrong.
        """
        if account is None or not self._known(ask.key):
            return refusal(401)
        if ask.key in self.options.forbidden_keys:
            return refusal(403)
        if not within_limit:
            return self._over_limit(account, now)
        method = METHODS.get(ask.endpoint)
        if method is None:
            return refusal(404)
        if ask.method != method:
            return refusal(405, f"use {method}")
        if ask.endpoint == "devices":
            return Answer(200, {"success": True, "devices": [self._device(dict(d), now) for d in self.options.devices]})
        if ask.endpoint == "status":
            return Answer(200, self._status(account))
        if ask.wrong is not None:
            return refusal(400, ask.wrong)
        if ask.endpoint == "send-message":
            [message] = ask.messages
            self._accept(message, account)
            return Answer(200, {"success": True, "message_id": message["message_id"], "status": "sent"})
        most = self.options.bulk_max
        if most is not None and len(ask.messages) > most:
            return refusal(400, f"at most {most} messages in one request")
        return self._bulk(ask, account, failing)

    def _bulk(self, ask: Ask, account: Account, failing: int) -> Answer:
        for message in ask.messages[failing:]:
            self._accept(message, account)
        ids = [message["message_id"] for message in ask.messages if message["accepted"]]
        total = len(ask.messages)
        body = {
            "success": True,
            "message_ids": ids,
            "total_queued": total,
            "sent": len(ids),
            "failed": total - len(ids),
        }
        return Answer(200, body)

    def _known(self, key: str) -> bool:
        options = self.options
        return bool(key) and (options.keys is None or key in options.keys or key in options.forbidden_keys)

    def _accept(self, message: Message, account: Account) -> None:
        self.last_message_id += 1
        message["message_id"] = self.last_message_id
        message["accepted"] = True
        account.messages += 1

    def _over_limit(self, account: Account, now: datetime) -> Answer:
        answer = refusal(429, f"{self.options.limit}")
        until = account.window.frees_at(now)
        if self.options.retry_after is RetryAfter.SECONDS:
            answer.retry_after = str(max(1, math.ceil((until - now).total_seconds())))
        elif self.options.retry_after is RetryAfter.DATE:
            # Whole seconds: rounded up, or a client that obeys would come too early.
            answer.retry_after = format_datetime(_ceil(until), usegmt=True)
        return answer

    def _device(self, said: dict[str, Any], now: datetime) -> dict[str, Any]:
        return {
            "token": "device_token_1",
            "device_name": "Sandbox",
            "status": "active",
            "wa_number": "905550000001",
            "wa_name": "Sandbox",
            "wa_platform": "android",
            "wa_is_business": False,
            "last_seen": f"{now:%Y-%m-%d %H:%M:%S}",
            **said,
        }

    def _status(self, account: Account) -> dict[str, Any]:
        """Count the requests that were answered before this one."""
        total = account.successful + account.failed
        return {
            "success": True,
            "user": {"username": "sandbox", "api_key_name": "Sandbox key"},
            "usage": {
                "message_used": account.messages,
                "device_used": len(self.options.devices),
                "member_used": 1,
                "storage_used": 0,
            },
            "api_stats": {
                "total_requests": total,
                "successful_requests": account.successful,
                "failed_requests": account.failed,
                "avg_execution_time": round(account.seconds / total, 6) if total else 0,
            },
        }


def read_body(ask: Ask, body: bytes) -> None:
    """Read the messages of a send request into `ask`, as many as can be read; `wrong` says what is not valid."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        ask.wrong = "the body is not JSON"
        return
    if not isinstance(said, dict):
        ask.wrong = "the body is not a JSON object"
        return
    if ask.endpoint == "send-message":
        message, ask.wrong = _message(said)
        ask.messages.append(message)
        return
    entries = said.get("messages")
    if not isinstance(entries, list) or not entries:
        ask.wrong = "messages is missing or empty"
        return
    for number, entry in enumerate(entries):
        message, wrong = _message(entry)
        ask.messages.append(message)
        if wrong is not None and ask.wrong is None:
            ask.wrong = f"messages[{number}]: {wrong}"


def _message(said: object) -> tuple[Message, str | None]:
    fields = said if isinstance(said, dict) else {}
    data = fields.get("data")
    if not isinstance(data, dict):
        data = {}
    receiver, text = fields.get("receiver"), data.get("message")
    kind, media = data.get("message_type"), data.get("media_url")
    wrong = None
    if receiver is None or receiver == "":
        wrong = "receiver is missing"
    elif not isinstance(receiver, str) or not _DIGITS.fullmatch(receiver):
        wrong = "receiver is not digits with the country code"
    elif not isinstance(text, str) or not (text or media):
        # ConWP does not say whether a picture needs words; an empty message beside `media_url` is taken here.
        wrong = "data.message is missing"
    elif not isinstance(kind, str | None):
        wrong = "data.message_type is not text"
    elif not isinstance(media, str | None):
        wrong = "data.media_url is not text"
    message: Message = {
        "receiver": receiver if isinstance(receiver, str) else "" if receiver is None else str(receiver),
        "text": text if isinstance(text, str) else "",
        "type": kind if isinstance(kind, str) else "text",
        "media_url": media if isinstance(media, str) else None,
        "message_id": None,
        "accepted": False,
    }
    return message, wrong


def _ceil(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else datetime.fromtimestamp(whole.timestamp() + 1, at.tzinfo)
