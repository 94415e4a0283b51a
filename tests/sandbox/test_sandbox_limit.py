"""The hourly limit under both readings, with a moved clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_kit import Phone, message, per_hour, with_sandbox

from conwp_bot.model.budget import Limit
from conwp_bot.sandbox import RetryAfter, SandboxOptions, WindowKind
from conwp_bot.sandbox.window import Window

NINE = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
NOTHING = timedelta(0)


def test_over_the_limit_is_429_and_nothing_is_accepted() -> None:
    async def test(phone: Phone) -> None:
        codes = [(await phone.send()).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        last = phone.sandbox.receipts[-1]
        assert (last.status, last.messages[0].text, last.messages[0].accepted) == (429, "Merhaba", False)

    with_sandbox(test, SandboxOptions(limit=per_hour(3)))


@pytest.mark.parametrize("kind", list(WindowKind))
def test_every_request_counts_the_refused_ones_too(kind: WindowKind) -> None:
    async def test(phone: Phone) -> None:
        await phone.get("devices")
        await phone.send({"receiver": "wrong"})
        await phone.get("nothing")
        await phone.bulk(message(), message())
        assert (await phone.get("status")).status_code == 429

    with_sandbox(test, SandboxOptions(limit=per_hour(4), window=kind))


def test_a_client_that_hammers_a_rolling_window_stays_refused() -> None:
    async def test(phone: Phone) -> None:
        for _ in range(2):
            await phone.send()
        for _ in range(10):  # two refused requests within each hour keep the window full
            phone.clock.advance(timedelta(minutes=29))
            assert (await phone.send()).status_code == 429
        phone.clock.advance(timedelta(minutes=31))
        assert (await phone.send()).status_code == 200

    with_sandbox(test, SandboxOptions(limit=per_hour(2)))


def test_a_rolling_window_frees_a_request_an_hour_after_it() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        phone.clock.advance(timedelta(minutes=20))
        await phone.send()
        phone.clock.advance(timedelta(minutes=40))
        assert (await phone.send()).status_code == 200
        assert (await phone.send()).status_code == 429

    with_sandbox(test, SandboxOptions(limit=per_hour(2)))


def test_a_fixed_window_forgets_everything_at_the_full_hour() -> None:
    async def test(phone: Phone) -> None:
        phone.clock.set(NINE + timedelta(minutes=59))
        assert [(await phone.send()).status_code for _ in range(3)] == [200, 200, 429]
        phone.clock.advance(timedelta(minutes=1))
        assert [(await phone.send()).status_code for _ in range(3)] == [200, 200, 429]

    with_sandbox(test, SandboxOptions(limit=per_hour(2), window=WindowKind.FIXED))


def test_a_fixed_window_may_begin_at_another_minute() -> None:
    async def test(phone: Phone) -> None:
        assert [(await phone.send()).status_code for _ in range(2)] == [200, 429]
        phone.clock.set(NINE + timedelta(minutes=16, seconds=59))
        assert (await phone.send()).status_code == 429
        phone.clock.set(NINE + timedelta(minutes=17))
        assert (await phone.send()).status_code == 200

    options = SandboxOptions(limit=per_hour(1), window=WindowKind.FIXED, window_offset=timedelta(minutes=17))
    with_sandbox(test, options)


def test_retry_after_is_silent_by_default() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        assert "retry-after" not in (await phone.send()).headers

    with_sandbox(test, SandboxOptions(limit=per_hour(1)))


@pytest.mark.parametrize("kind", list(RetryAfter)[1:])
def test_who_obeys_retry_after_is_served(kind: RetryAfter) -> None:
    async def test(phone: Phone) -> None:
        phone.clock.advance(timedelta(microseconds=1))
        await phone.send()
        phone.clock.advance(timedelta(minutes=15))
        header = (await phone.get("devices")).headers["retry-after"]
        # The refused request counts too: the window is full until an hour after the refusal.
        if kind is RetryAfter.SECONDS:
            assert header == "3600"
            phone.clock.advance(timedelta(seconds=int(header)))
        else:
            assert header.endswith(" GMT")
            phone.clock.set(parsedate_to_datetime(header))
        assert (await phone.send()).status_code == 200

    with_sandbox(test, SandboxOptions(limit=per_hour(1), retry_after=kind))


def test_the_limit_holds_for_each_key_by_itself() -> None:
    async def test(phone: Phone) -> None:
        codes = [(await phone.send(key=key)).status_code for key in ("a", "a", "b")]
        assert codes == [200, 429, 200]

    with_sandbox(test, SandboxOptions(limit=per_hour(1)))


def test_the_limit_may_change_while_it_counts() -> None:
    async def test(phone: Phone) -> None:
        await phone.send()
        await phone.send()
        assert (await phone.control("settings", {"limit": "3/hour"})).status_code == 200
        assert [(await phone.send()).status_code for _ in range(2)] == [200, 429]

    with_sandbox(test)


@given(
    steps=st.lists(st.integers(0, 50), max_size=60),
    count=st.integers(1, 6),
    kind=st.sampled_from(list(WindowKind)),
)
def test_a_window_counts_as_the_definition_does(steps: list[int], count: int, kind: WindowKind) -> None:
    span = timedelta(seconds=60)
    window = Window(Limit(count, span), kind, NOTHING)
    now, before = NINE, []
    for step in steps:
        now += timedelta(seconds=step)
        if kind is WindowKind.ROLLING:
            counting = [at for at in before if at > now - span]
        else:
            counting = [at for at in before if at.replace(second=0) == now.replace(second=0)]
        expected = len(counting) < count
        assert (window.frees_at(now) == now) is expected
        assert window.take(now) is expected
        before.append(now)
