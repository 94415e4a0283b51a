"""What came back of a request, judged: the one table from answers to outcomes.

A message is accepted only by a clean success, and proved not sent only by what says so; all the rest is unknown, because a wrong
"sent" loses a message and a wrong "not sent" sends it twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Any, Generic, TypeAlias, TypeVar

from conwp_bot.api.detail import Redact, as_json, one_line, pointed_at, said
from conwp_bot.model.outcome import Accepted, Failed, Invalid, Limited, Outcome, Refused, Unknown

T = TypeVar("T")


class Progress(IntEnum):
    """How far a request got."""

    NOT_BEGUN = 0  # no byte of it was written
    BEGUN = 1  # some were, but not the last byte of its body: the server cannot have the whole
    WRITTEN = 2  # the last byte was handed over: the server may act on it


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back of it, as far as it came.

    `fault` is empty when the answer was read to its end, and otherwise what happened. `status` is None while no answer's head was read.
    """

    progress: Progress
    fault: str = ""
    status: int | None = None
    body: bytes = b""
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Got(Generic[T]):
    """A request that asks was answered."""

    value: T


Refusal: TypeAlias = Limited | Refused | Invalid | Failed | Unknown
"""The outcomes without a clean success."""

Answer: TypeAlias = Got[T] | Refusal
"""What a request that asks came to: its value, or why there is none."""

SHORTEST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(hours=1)

_SETTLED = frozenset({400, 401, 403, 404, 405, 429})
_NOISE_TRIED = 20  # braces in front of an answer's own: a PHP warning has few, and each costs a parse
_ID_LENGTH = 100
_NEGATIVE = frozenset({"failed", "error", "rejected"})


@dataclass(frozen=True, slots=True)
class _Document:
    """An object that says whether it succeeded; `note` is what stood in front of it."""

    values: Mapping[str, Any]
    success: bool
    note: str


def judge_message(exchange: Exchange, *, now: datetime, redact: Redact) -> Outcome:
    """Say what a `send-message` request meant."""
    document = _read(exchange, now, redact)
    if not isinstance(document, _Document):
        return document
    values = document.values
    if not document.success:
        return Failed(said(values, "", redact))
    provider_id = _provider_id(values.get("message_id"), redact)
    if provider_id is None:
        return Unknown(one_line(f"success without a message id: {as_json(values)}", redact))
    status = values.get("status")
    if isinstance(status, str) and status.lower() in _NEGATIVE:
        return Unknown(one_line(f"success and yet the status {status!r}: {as_json(values)}", redact))
    return Accepted((provider_id,), document.note)


def judge_bulk(exchange: Exchange, count: int, *, now: datetime, redact: Redact) -> Outcome:
    """Say what a `send-bulk-message` request of `count` messages meant; a mixed answer is unknown as a whole, never guessed apart."""
    document = _read(exchange, now, redact)
    if not isinstance(document, _Document):
        return document
    values = document.values
    sent, failed, queued, ids = (values.get(name) for name in ("sent", "failed", "total_queued", "message_ids"))
    nothing_sent = _is(sent, 0) and _is(failed, count)
    if not document.success:
        nothing_sent = nothing_sent or ((sent is None or _is(sent, 0)) and (failed is None or _is(failed, 0)))
    if nothing_sent and not ids:
        return Failed(said(values, "", redact))
    provider_ids = [_provider_id(one, redact) for one in ids] if isinstance(ids, list) else []
    clean = [one for one in provider_ids if one is not None]
    if (
        document.success
        and _is(failed, 0)
        and len(provider_ids) == len(set(clean)) == count
        and (sent is None or _is(sent, count))
        and (queued is None or _is(queued, count))
    ):
        return Accepted(tuple(clean), document.note)
    told = f"{failed} of {count} failed" if type(failed) is int else f"no count of failures for {count} messages"
    return Unknown(one_line(f"{told}, {len(provider_ids)} ids: {as_json(values)}", redact))


def judge_answer(
    exchange: Exchange, read: Callable[[Mapping[str, Any]], T | None], *, now: datetime, redact: Redact
) -> Answer[T]:
    """Say what a request that asks came to; `read` makes the value of an answer, or None when its shape is not the documented one."""
    document = _read(exchange, now, redact)
    if not isinstance(document, _Document):
        return document
    if not document.success:
        return Failed(said(document.values, "", redact))
    value = read(document.values)
    if value is None:
        return Unknown(one_line(f"success without the documented answer: {as_json(document.values)}", redact))
    return Got(value)


def retry_at(retry_after: str | None, *, now: datetime) -> datetime | None:
    """Read a Retry-After header (seconds or an HTTP date), kept within 1 s and 1 h from `now`; None for what is neither."""
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        wait = timedelta(seconds=int(text)) if len(text) <= 6 else LONGEST_RETRY
    else:
        try:
            date = parsedate_to_datetime(text)
            wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return now + min(max(wait, SHORTEST_RETRY), LONGEST_RETRY)


def _read(exchange: Exchange, now: datetime, redact: Redact) -> _Document | Refusal:
    """Return the object that the answer consists of, or the outcome that needs none."""
    status = exchange.status
    if status is None:
        return _unanswered(exchange, redact)
    text = exchange.body.decode("utf-8-sig", errors="replace").strip()
    # What was cut may be whole by chance: it is quoted, not believed.
    values, noise = _trailing_object(text) if not exchange.fault else (None, "")
    success = values.get("success") if values is not None else None
    whole = exchange.progress is Progress.WRITTEN and not exchange.fault
    if whole and values is not None and isinstance(success, bool) and _is_believed(status, success):
        return _Document(values, success, one_line(f"text before the answer: {noise}", redact) if noise else "")

    words = said(values, text, redact)
    detail = one_line(f"HTTP {status}: {words}" if words else f"HTTP {status} without a body", redact)
    match status:  # by the status alone nothing was sent, however little of the rest could be read
        case 400:
            return Invalid(detail)
        case 401 | 403:
            return Refused(status, detail)
        case 404 | 405:
            return Failed(detail)
        case 429:
            return Limited(retry_at(exchange.retry_after, now=now), detail)
    if exchange.progress is not Progress.WRITTEN:
        if success is True:
            return Unknown(one_line(f"success before the request was written: {detail}", redact))
        return Failed(one_line(f"the body was not completely written: {detail}", redact), environment=True)
    if exchange.fault:
        return Unknown(one_line(f"HTTP {status}, then {exchange.fault}; it began: {words}", redact))
    if 300 <= status < 400:
        place = pointed_at(exchange.location or "", redact)
        return Unknown(one_line(f"HTTP {status} points to {place}, which is not followed; correct base_url", redact))
    if 200 <= status < 300 and values is None and words:
        return Unknown(one_line(f"HTTP {status}, not a JSON object: {words}", redact))
    return Unknown(detail)


def _unanswered(exchange: Exchange, redact: Redact) -> Refusal:
    fault = one_line(exchange.fault or "no answer", redact)
    match exchange.progress:
        case Progress.NOT_BEGUN:
            return Failed(fault, environment=True, began=False)
        case Progress.BEGUN:
            return Failed(one_line(f"the body was not completely written: {fault}", redact), environment=True)
        case Progress.WRITTEN:
            return Unknown(fault)


def _is_believed(status: int, success: bool) -> bool:
    if status in _SETTLED:
        return False
    # A 5xx is a program that broke on its way: what it says of success comes from half a run. A 4xx can only say no.
    return 200 <= status < 300 or (400 <= status < 500 and not success)


def _trailing_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the JSON object that `text` is or ends with, and what stands before it (a PHP warning); None for anything else."""
    if not text.endswith("}"):
        return None, ""
    decoder = json.JSONDecoder()
    start = -1
    for _ in range(_NOISE_TRIED):
        start = text.find("{", start + 1)
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            noise = text[:start].strip()
            # A second object with an opinion makes the last one no clean answer.
            return (None, "") if '"success"' in noise else (value, noise)
    return None, ""


def _provider_id(value: object, redact: Redact) -> str | None:
    """Return a usable message id as text: a positive whole number or a short printable text; None for anything else."""
    if type(value) is int:
        return str(value) if 0 < value < 10**30 else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    usable = 0 < len(text) <= _ID_LENGTH and text.isprintable() and text.strip("0") and redact(text) == text
    return text if usable else None


def _is(value: object, number: int) -> bool:
    return type(value) is int and value == number  # True is no 1 here
