"""Short words about values and messages, for traces and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conwp_bot.model.message import NewMessage
from conwp_bot.model.plain import to_json
from conwp_bot.model.recipient import mask_number
from conwp_bot.model.rows import Row

_VALUE_LONGEST = 60
_RAW_LONGEST = 4000
_FEW = 3


def told(messages: Sequence[NewMessage]) -> str:
    """Say to whom messages go, numbers masked, and why the first one fails, if one does."""
    to = ", ".join(mask_number(message.recipient) for message in messages[:_FEW] if message.reason is None)
    more = f" and {len(messages) - _FEW:,} more" if len(messages) > _FEW else ""
    failed = [message.reason for message in messages if message.reason is not None]
    text = f"to {to}{more}" if to else f"{len(messages):,} messages" if len(messages) > 1 else "1 message"
    return f"{text}; {len(failed)} failed: {failed[0]}" if failed else text


def shown(value: Any) -> str:
    """Return a value as JSON, cut when it is long."""
    text = to_json(value) if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)
    return text if len(text) <= _VALUE_LONGEST else text[: _VALUE_LONGEST - 1] + "…"


def raw_of(row: Row) -> str:
    """Return what stood in a row: as written if that is known, else its values as JSON."""
    if row.raw or row.values is None:
        return row.raw
    try:
        return to_json(dict(row.values))[:_RAW_LONGEST]
    except TypeError:
        return ""
