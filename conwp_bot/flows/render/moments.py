"""Dates and times out of what payloads bring."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from conwp_bot.flows.render.bounds import Refusal, shorten
from conwp_bot.flows.render.kinds import describe

_DOTTED = re.compile(r"(\d{1,2})[./](\d{1,2})[./](\d{4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")


@lru_cache(maxsize=2048)
def parse_moment(text: str) -> date | datetime:
    """Read an ISO date or time (`2026-11-22`, `2026-11-22T09:00:00Z`) or `22.11.2026`, with ` 09:00` if need be; raises ValueError.

    Day comes before month in the latter, with dots or slashes. A time without a zone stays without.
    """
    bare = text.strip()
    if len(bare) <= 40:
        dotted = _DOTTED.fullmatch(bare)
        try:
            if dotted:
                day, month, year, hour, minute, second = (int(part) if part else 0 for part in dotted.groups())
                if dotted[4] is None:
                    return date(year, month, day)
                return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller knows its zone
            if len(bare) == 10:
                return date.fromisoformat(bare)
            return datetime.fromisoformat(bare)
        except ValueError:
            pass
    raise ValueError(f"{shorten(text, 40)!r} is no date; dates look like 2026-11-22 or 22.11.2026")


def to_datetime(value: Any, zone: ZoneInfo, what: str) -> datetime:
    """Return a moment in the zone; a date is its midnight, a time without a zone is of the zone. Refuses anything else."""
    moment = _read(value, what)
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=zone)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def to_date(value: Any, zone: ZoneInfo, what: str) -> date:
    """Return the day on which a moment falls in the zone; refuses what is no date."""
    moment = _read(value, what)
    return to_datetime(moment, zone, what).date() if isinstance(moment, datetime) else moment


def to_time(value: Any, zone: ZoneInfo, what: str) -> time:
    """Return the time of day in the zone; also reads `09:30`."""
    if isinstance(value, time):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", value.strip()):
        try:
            return time.fromisoformat(
                value.strip().zfill(5) if value.strip().count(":") == 1 else value.strip().zfill(8)
            )
        except ValueError:
            raise Refusal(f"{what}: {value.strip()!r} is no time of day") from None
    moment = _read(value, what)
    if not isinstance(moment, datetime):
        raise Refusal(f"{what} takes a time, and a date has none")
    return to_datetime(moment, zone, what).time()


def _read(value: Any, what: str) -> date | datetime:
    if isinstance(value, str):
        try:
            return parse_moment(value)
        except ValueError as error:
            raise Refusal(f"{what}: {error}") from None
    if isinstance(value, date):
        return value
    hint = "; a Unix time is not guessed" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    raise Refusal(f"{what} takes a date or a text that holds one, not {describe(value)}{hint}")
