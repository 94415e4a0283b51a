"""The schedule against a brute-force reading of Debian cron's rules, around changes of offset in many zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from conwp_bot.flows.flow import CronTrigger
from conwp_bot.triggers.schedule import next_slot, slots

MINUTE = timedelta(minutes=1)

CHANGES = [
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("America/New_York", (2026, 3, 8)),
    ("America/New_York", (2026, 11, 1)),
    ("Australia/Lord_Howe", (2026, 4, 5)),  # half an hour
    ("Australia/Lord_Howe", (2026, 10, 4)),
    ("Africa/Cairo", (2026, 4, 24)),  # at midnight
    ("Africa/Cairo", (2026, 10, 30)),
    ("Asia/Beirut", (2026, 3, 29)),
    ("America/Sao_Paulo", (2018, 11, 4)),  # at midnight, no such day's beginning
    ("America/Sao_Paulo", (2019, 2, 17)),
    ("Pacific/Apia", (2011, 12, 30)),  # a day that never was
    ("Pacific/Apia", (2012, 4, 1)),
    ("Europe/Istanbul", (2016, 3, 27)),
    ("Europe/Istanbul", (2016, 9, 7)),  # the name changed, the offset did not
    ("Europe/Istanbul", (2026, 3, 29)),
    ("Africa/Casablanca", (2026, 2, 15)),
]
EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "*/20 1-3 * * *",
    "*/15 2 * * *",
    "* 2 * * *",
    "*/7 0 * * *",
    "30 */2 * * *",
    "0 */6 * * *",
    "17 * * * *",
    "30 2 * * *",
    "0 2 * * *",
    "0 3 * * *",
    "59 1 * * *",
    "15 1 * * *",
    "45 1 * * *",
    "0,30 2 * * *",
    "0-59 2 * * *",
    "0 1-4 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "30 23 * * *",
    "0 9 * * mon-fri",
    "0 9 1,15 * mon",
    "5 4 */2 * *",
    "5 4 */2 * sun",
    "0 12 29 2 *",
    "30 2 * 3,10 sun",
    "10 0-23/3 * * *",
]


class Reference:
    """Reads an expression field by field and asks of every minute whether it matches: slow, and too simple to be wrong."""

    NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
        self.minute, self.hour, self.day, self.month, weekday = (
            self._set(f, *b) for f, b in zip(fields, bounds, strict=True)
        )
        self.weekday = {d % 7 for d in weekday}
        self.either = fields[2][0] != "*" and fields[4][0] != "*"
        self.elapsed = fields[0][0] == "*" or fields[1][0] == "*"

    def _set(self, field: str, low: int, high: int) -> set[int]:
        found: set[int] = set()
        for part in field.split(","):
            span, _, step = part.partition("/")
            begin, _, end = span.partition("-")
            first = low if begin == "*" else self._number(begin)
            last = high if begin == "*" else self._number(end) if end else first
            found.update(range(first, last + 1, int(step or 1)))
        return found

    def _number(self, text: str) -> int:
        return self.NAMES.index(text) if text in self.NAMES else int(text)

    def matches(self, wall: datetime) -> bool:
        if wall.minute not in self.minute or wall.hour not in self.hour or wall.month not in self.month:
            return False
        day, weekday = wall.day in self.day, wall.isoweekday() % 7 in self.weekday
        return (day or weekday) if self.either else (day and weekday)

    def slots(self, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
        """All slots in (start, end]; walks every minute from two days before, so that gaps are seen whole."""
        found: set[datetime] = set()
        seen: set[datetime] = set()
        instant = start - timedelta(days=2)
        before: datetime | None = None
        while instant <= end:
            wall = instant.astimezone(zone).replace(tzinfo=None, fold=0)
            if self.elapsed:
                if self.matches(wall):
                    found.add(instant)
            else:
                if before is not None and wall - before > MINUTE:  # skipped wall times fire here
                    skipped = before + MINUTE
                    while skipped < wall:
                        if self.matches(skipped):
                            found.add(instant)
                        skipped += MINUTE
                if wall not in seen and self.matches(wall):
                    found.add(instant)
                seen.add(wall)
                before = wall
            instant += MINUTE
        return sorted(slot for slot in found if start < slot <= end)


def trigger(expression: str, zone: str) -> CronTrigger:
    return CronTrigger("t", expression, ZoneInfo(zone))


@pytest.mark.parametrize(("zone", "day"), CHANGES, ids=lambda value: str(value))
def test_slots_around_a_change_of_offset_are_debian_crons(zone: str, day: tuple[int, int, int]) -> None:
    start = datetime(*day, tzinfo=UTC) - timedelta(days=1, hours=6)
    end = start + timedelta(days=3)
    wrong = {}
    for expression in EXPRESSIONS:
        expected = Reference(expression).slots(ZoneInfo(zone), start, end)
        found = list(takewhile(lambda slot: slot <= end, slots(trigger(expression, zone), start)))
        if found != expected:
            wrong[expression] = sorted(set(found) ^ set(expected))
    assert wrong == {}


@settings(max_examples=150, deadline=None)
@given(
    change=st.sampled_from(CHANGES),
    expression=st.sampled_from(EXPRESSIONS),
    seconds=st.integers(-100_000, 100_000),
)
def test_the_next_slot_from_any_second_is_the_first_after_it(
    change: tuple[str, tuple[int, int, int]], expression: str, seconds: int
) -> None:
    zone, day = change
    after = datetime(*day, tzinfo=UTC) + timedelta(seconds=seconds)
    floor = after.replace(second=0)
    end = floor + timedelta(days=2)
    coming = [slot for slot in Reference(expression).slots(ZoneInfo(zone), floor - MINUTE, end) if slot > after]
    found = next_slot(trigger(expression, zone), after)
    if coming:
        assert found == coming[0]
    else:
        assert found is None or found > end


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    stepped = st.integers(2, 20).map(lambda step: f"*/{step}")
    several = st.lists(number, min_size=2, max_size=3, unique=True).map(lambda list_: ",".join(map(str, sorted(list_))))
    return st.one_of(st.just("*"), stepped, number.map(str), span, several)


@settings(max_examples=200, deadline=None)
@given(
    fields=st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)),
    zone=st.sampled_from(["UTC", "Europe/Istanbul", "Asia/Kolkata", "Asia/Kathmandu", "Etc/GMT+12"]),
    after=st.integers(1_483_228_800, 1_924_992_000),
)
def test_where_the_offset_never_changes_slots_are_those_of_cronsim(
    fields: tuple[str, ...], zone: str, after: int
) -> None:
    expression = " ".join(fields)
    start = datetime.fromtimestamp(after, UTC)
    walk = CronSim(expression, start.astimezone(ZoneInfo(zone)))
    ours = slots(trigger(expression, zone), start)
    for _ in range(5):
        assert next(ours) == next(walk)
