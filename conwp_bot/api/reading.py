"""Answers to requests that ask, as values. Lenient about what is left out, strict about the shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conwp_bot.model.account import AccountStatus, Device


def read_devices(document: Mapping[str, Any]) -> tuple[Device, ...] | None:
    """Return the devices that an answer lists, or None when it has no list of objects."""
    listed = document.get("devices")
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        return None
    return tuple(
        Device(
            token=_text(one, "token"),
            name=_text(one, "device_name"),
            status=_text(one, "status"),
            number=_text(one, "wa_number"),
            display_name=_text(one, "wa_name"),
            platform=_text(one, "wa_platform"),
            business=one.get("wa_is_business") in (True, 1, "1"),  # PHP writes a database's booleans in all three ways
            last_seen=_text(one, "last_seen"),
        )
        for one in listed
    )


def read_status(document: Mapping[str, Any]) -> AccountStatus | None:
    """Return the books that an answer shows, or None when it shows none of the documented parts."""
    parts = {name: document.get(name) for name in ("user", "usage", "api_stats")}
    user, usage, stats = (part if isinstance(part, Mapping) else {} for part in parts.values())
    if not (user or usage or stats):
        return None
    return AccountStatus(
        username=_text(user, "username"),
        key_name=_text(user, "api_key_name"),
        messages_used=_count(usage, "message_used"),
        devices_used=_count(usage, "device_used"),
        members_used=_count(usage, "member_used"),
        storage_used=_count(usage, "storage_used"),
        requests=_count(stats, "total_requests"),
        requests_successful=_count(stats, "successful_requests"),
        requests_failed=_count(stats, "failed_requests"),
        average_seconds=_number(stats, "avg_execution_time"),
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e15 else None  # also: not NaN


def _count(values: Mapping[str, Any], name: str) -> int | None:
    number = _number(values, name)
    return None if number is None else int(number)
