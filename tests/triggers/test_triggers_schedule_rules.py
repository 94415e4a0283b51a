"""What fires now, what is caught up, and what is missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from conwp_bot.flows.flow import CatchUp, CronTrigger
from conwp_bot.triggers.schedule import MOST_CAUGHT_UP, delay_of, due_slots, next_slot, spec_of

ISTANBUL = ZoneInfo("Europe/Istanbul")
DAILY = CronTrigger("morning", "0 9 * * *", ISTANBUL)
MINUTELY = CronTrigger("beat", "* * * * *", ISTANBUL)


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, minute, second, tzinfo=ISTANBUL).astimezone(UTC)


def test_a_slot_is_an_instant_in_utc() -> None:
    slot = next_slot(DAILY, at(1, 9))
    assert slot == datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
    assert slot.tzinfo is UTC


@pytest.mark.parametrize(
    "expression", ["", "9 * *", "0 9 * * * *", "61 9 * * *", "H 9 * * *", "0 R * * *", "0 9 * * someday", "0 0 30 2 *"]
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        next_slot(replace(DAILY, expression=expression), at(1, 9))


def test_month_and_day_names_and_short_names_are_known() -> None:
    assert next_slot(replace(DAILY, expression="0 9 * mar thu"), at(1, 9)) == datetime(2027, 3, 4, 6, 0, tzinfo=UTC)
    assert next_slot(replace(DAILY, expression="@daily"), at(1, 9)) == at(2, 0)
    assert next_slot(replace(DAILY, expression="0 9 * * 1-1"), at(2, 9)) == at(8, 9)


@pytest.mark.parametrize("catch_up", list(CatchUp))
def test_a_punctual_slot_fires_under_every_rule(catch_up: CatchUp) -> None:
    due = due_slots(replace(DAILY, catch_up=catch_up), at(1, 9), at(2, 9, 0, 40))
    assert due.fire == (at(2, 9),)
    assert (due.missed, due.done_until) == (0, at(2, 9))


def test_latest_fires_the_newest_missed_slot() -> None:
    due = due_slots(DAILY, at(1, 9), at(5, 14))
    assert due.fire == (at(5, 9),)
    assert (due.missed, due.done_until) == (3, at(5, 9))


def test_latest_leaves_it_to_a_punctual_slot() -> None:
    due = due_slots(MINUTELY, at(1, 9), at(1, 11, 0, 30))
    assert due.fire == (at(1, 11),)
    assert due.missed == 99
    assert due.and_more


def test_all_fires_every_missed_slot_in_order() -> None:
    due = due_slots(replace(DAILY, catch_up=CatchUp.ALL), at(1, 9), at(5, 14))
    assert due.fire == tuple(at(day, 9) for day in (2, 3, 4, 5))
    assert due.missed == 0


def test_all_fires_a_hundred_at_most_and_the_newest() -> None:
    due = due_slots(replace(MINUTELY, catch_up=CatchUp.ALL), at(1, 9), at(9, 9))
    assert len(due.fire) == MOST_CAUGHT_UP
    assert due.fire[-1] == due.done_until == at(9, 9)
    assert due.and_more


def test_none_fires_no_missed_slot_but_moves_on() -> None:
    due = due_slots(replace(DAILY, catch_up=CatchUp.NONE), at(1, 9), at(5, 14))
    assert due.fire == ()
    assert (due.missed, due.done_until) == (4, at(5, 9))


def test_within_bounds_how_late_a_slot_may_fire() -> None:
    trigger = replace(DAILY, catch_up=CatchUp.ALL, within=timedelta(hours=30))
    assert due_slots(trigger, at(1, 9), at(5, 14)).fire == (at(4, 9), at(5, 9))
    assert due_slots(replace(DAILY, within=timedelta(hours=2)), at(1, 9), at(5, 14)).fire == ()


def test_a_clock_set_back_fires_nothing_again() -> None:
    due = due_slots(DAILY, at(5, 9), at(3, 12))
    assert due.fire == ()
    assert due.done_until == at(5, 9)


def test_years_of_missed_minutes_are_not_walked_one_by_one() -> None:
    due = due_slots(MINUTELY, at(1, 9) - timedelta(days=3650), at(1, 9))
    assert due.fire == (at(1, 9),)
    assert due.and_more


def test_spread_is_the_same_for_a_flow_every_day_and_another_for_others() -> None:
    trigger = replace(DAILY, spread=timedelta(minutes=5))
    delays = {delay_of(f"flow-{number}", trigger) for number in range(200)}
    assert delay_of("flow-1", trigger) == delay_of("flow-1", trigger)
    assert len(delays) > 100
    assert max(delays) < timedelta(minutes=5)
    assert delay_of("flow-1", DAILY) == timedelta(0)


def test_a_spread_slot_is_due_late_and_punctual() -> None:
    delay = timedelta(minutes=4)
    none = replace(DAILY, catch_up=CatchUp.NONE)
    assert due_slots(none, at(1, 9), at(2, 9, 3, 59), delay=delay).fire == ()
    assert due_slots(none, at(1, 9), at(2, 9, 4, 10), delay=delay).fire == (at(2, 9),)


def test_another_expression_or_zone_is_another_schedule() -> None:
    assert spec_of(DAILY) != spec_of(replace(DAILY, expression="0 10 * * *"))
    assert spec_of(DAILY) != spec_of(replace(DAILY, timezone=ZoneInfo("UTC")))
    assert spec_of(DAILY) == spec_of(replace(DAILY, catch_up=CatchUp.NONE, spread=timedelta(hours=1)))
