"""When a cron schedule fires: wall-clock times in a zone, as instants. Pure: no clock, no loop.

The rules are Debian cron's. A job at fixed times fires once per wall time: times that the spring gap skips fire together at the first
instant after the gap, times that autumn repeats fire the first time only. A job whose minute or hour begins with `*` follows elapsed
time: it fires at every instant whose wall time matches, so in both passes of a repeated hour and not at all in a gap.

croniter is trusted with naive wall times only; around a change of offset it is wrong (docs/decisions/dependencies.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from conwp_bot.flows.cron_text import read_cron
from conwp_bot.flows.flow import CatchUp, CronTrigger

PUNCTUAL = timedelta(minutes=1)
"""A slot that is less late than this is not late: it fires whatever `catch_up` says. No schedule has two such slots at once."""

MOST_CAUGHT_UP = 100
"""So many slots at most are caught up, and counted as missed."""

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Two changes of an offset are never closer than this (the closest on record are weeks apart), so one probe per span finds them all.
_PROBE = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Due:
    """What to do about the slots up to now.

    Fire `fire` in order, each of which moves the cursor to itself; then the cursor is `done_until`. `missed` slots fire never;
    `and_more` says that they were too many to count.
    """

    fire: tuple[datetime, ...]
    missed: int
    done_until: datetime
    and_more: bool = False


def spec_of(trigger: CronTrigger) -> str:
    """Return the schedule as a text; another text is another schedule, whose cursor begins anew."""
    return f"{trigger.expression} @ {trigger.timezone.key}"


def delay_of(flow: str, trigger: CronTrigger) -> timedelta:
    """Return the part of `spread` by which this flow's slots are delayed: whole seconds, the same every day."""
    seconds = int(trigger.spread.total_seconds())
    if seconds <= 0:
        return timedelta(0)
    digest = hashlib.sha256(f"{flow}\0{trigger.id}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % seconds)


def next_slot(trigger: CronTrigger, after: datetime) -> datetime | None:
    """Return the first slot after this aware instant, in UTC; None when there is none for decades.

    Raises ValueError (NoSchedule) for a text that is no schedule, also for one that never comes.
    """
    return next(slots(trigger, after), None)


def slots(trigger: CronTrigger, after: datetime) -> Iterator[datetime]:
    """Yield the slots after this aware instant, in order, in UTC."""
    zone = trigger.timezone
    fields = _fields(trigger.expression)
    after = after.astimezone(UTC)
    instants = (
        _elapsed(fields, zone, after) if fields[0][0] == "*" or fields[1][0] == "*" else _fixed(fields, zone, after)
    )
    try:
        yield from instants
    except (CroniterBadDateError, OverflowError):  # no such date (30 February), or the end of the calendar
        return


def due_slots(trigger: CronTrigger, done_until: datetime, now: datetime, *, delay: timedelta = timedelta(0)) -> Due:
    """Say which slots after `done_until` to fire at `now`, where each is due `delay` after its time.

    A slot that is punctual fires. Of the late ones, `latest` fires the newest unless a punctual one stands for it, `all` fires the newest
    hundred, `none` fires none; what is later than `within` does not fire. A `now` before the cursor gives nothing: a slot fires once.
    """
    horizon = now - delay
    found, and_more = _back_from(trigger, done_until, horizon)
    if not found:
        return Due((), 0, done_until)
    punctual = [slot for slot in found if horizon - slot < PUNCTUAL]
    late = found[: len(found) - len(punctual)]
    caught = {CatchUp.ALL: late, CatchUp.LATEST: late[-1:] if not punctual else [], CatchUp.NONE: []}[trigger.catch_up]
    if trigger.within is not None:
        caught = [slot for slot in caught if horizon - slot <= trigger.within]
    fire = (*caught, *punctual)
    return Due(fire, len(found) - len(fire), found[-1], and_more)


def _back_from(trigger: CronTrigger, start: datetime, end: datetime) -> tuple[list[datetime], bool]:
    """Return the newest slots in (start, end], at most MOST_CAUGHT_UP, and whether there are older ones.

    It looks back in growing spans, so that a year of missed minutes costs no more than a day of them.
    """
    span = 2 * MOST_CAUGHT_UP * _MINUTE
    while True:
        begin = max(start, end - span)
        found = list(takewhile(lambda slot: slot <= end, slots(trigger, begin)))
        if len(found) > MOST_CAUGHT_UP:
            return found[-MOST_CAUGHT_UP:], True
        if begin <= start:
            return found, False
        span *= 4


def _fields(expression: str) -> list[str]:
    return [_ONE.sub(r"\1", field) for field in read_cron(expression).split()]


# A range of one: croniter takes `5-5` for the whole field.
_ONE = re.compile(r"(?<![^,])(\w+)-\1(?:/\d+)?(?=,|$)")


def _wall_times(fields: list[str], after: datetime) -> Iterator[datetime]:
    """Yield the matching naive wall times after this one. A day field that begins with `*` restricts nothing, as in cron itself."""
    walk = croniter(" ".join(fields), after.replace(microsecond=0), ret_type=datetime, implement_cron_bug=True)
    while True:
        yield walk.get_next()


def _fixed(fields: list[str], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    last = after
    for wall in _wall_times(fields, _wall(after, zone)):
        instant = _instant(wall, zone)
        # Earlier walls than `after`'s second pass through a repeated hour, and all but one of those in a gap, end here.
        if instant > last:
            last = instant
            yield instant


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a wall time: the first of two, or the first one after the gap that skips it."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(instant, zone) == wall:
        return instant
    # In a gap, fold=0 reads the offset before it (a later instant) and fold=1 the one after it (an earlier instant).
    return _change_within(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, zone)


def _elapsed(fields: list[str], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    since, start = after, _wall(after, zone)
    while True:
        # With the offset of now, up to its next change; from there (the change itself included) with the next one.
        offset = _offset(since, zone)
        for wall in _wall_times(fields, start):
            instant = wall.replace(tzinfo=UTC) - offset
            change = _first_change(since, instant, zone)
            if change is not None:
                since, start = change, _wall(change, zone) - _SECOND
                break
            yield instant
            since = instant


def _first_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first instant in (start, end] whose offset is another than its predecessor's."""
    offset = _offset(start, zone)
    while start < end:
        step = min(start + _PROBE, end)
        if _offset(step, zone) != offset:
            return _change_within(start, step, zone)
        start = step
    return None


def _change_within(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Return the first whole second in (start, end] with the offset of `end`, which `start` has not."""
    low, high = int(start.timestamp()), int(end.timestamp())
    offset = _offset(end, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
