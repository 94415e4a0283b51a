"""A clock that a test moves: nothing sleeps, time passes when the test says so."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any


class MovedClock:
    """A `Clock` that stands still until it is moved. Made for one event loop.

    `advance` lets time pass (wall and monotonic); `set` is somebody setting the wall clock: monotonic time does not move.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)) -> None:
        self._now = _aware(now)
        self._monotonic = 1000.0
        self._deadlines: dict[object, datetime] = {}
        self._wakers: set[asyncio.Future[Any]] = set()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def wait(self, event: asyncio.Event, until: datetime | None) -> bool:
        me = object()
        if until is not None:
            self._deadlines[me] = until
        ringing: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
        try:
            while not event.is_set():
                if until is not None and self._now >= until:
                    return False
                moved: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                self._wakers.add(moved)
                try:
                    await asyncio.wait({ringing, moved}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self._wakers.discard(moved)
            return True
        finally:
            ringing.cancel()
            self._deadlines.pop(me, None)

    def advance(self, length: timedelta) -> None:
        """Let this much time pass at once; who waits for an instant within it wakes late, as after a machine slept."""
        if length < timedelta(0):
            raise ValueError("time does not pass backwards; use set() for a wall clock that is set back")
        self._monotonic += length.total_seconds()
        self.set(self._now + length)

    def set(self, now: datetime) -> None:
        """Set the wall clock, forward or back."""
        self._now = _aware(now)
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    @property
    def next_deadline(self) -> datetime | None:
        """The earliest instant that somebody waits for."""
        return min(self._deadlines.values(), default=None)

    async def walk(self, length: timedelta) -> None:
        """Let time pass from deadline to deadline, so that each waiter wakes at its own instant."""
        end = self._now + length
        while True:
            await self.settle()
            coming = [at for at in self._deadlines.values() if self._now < at <= end]
            if not coming:
                break
            self.advance(min(coming) - self._now)
        self.advance(end - self._now)
        await self.settle()

    async def settle(self, rounds: int = 50) -> None:
        """Let ready tasks run; what waits for a thread or a socket is not waited for."""
        for _ in range(rounds):
            await asyncio.sleep(0)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a clock is set to an aware time")
    return moment.astimezone(UTC)
