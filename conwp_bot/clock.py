"""The only place that reads the time.

Loops read the clock once a round and hand `now` to decisions. Waiting goes through the clock too, so that a test (or the
simulator) moves time instead of sleeping through it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored, monotonic time for how long something took, and waiting for either."""

    def now(self) -> datetime:
        """Return the wall time as an aware UTC datetime."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""

    async def wait(self, event: asyncio.Event, until: datetime | None) -> bool:
        """Return True as soon as `event` is set, or False once `until` has come (None: never). The event stays set."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait(self, event: asyncio.Event, until: datetime | None) -> bool:
        if event.is_set():
            return True
        while True:
            if until is None:
                await event.wait()
                return True
            left = (until - self.now()).total_seconds()
            if left <= 0:
                return event.is_set()
            try:
                # Half a minute at most: a wall clock that was set, or a machine that slept, is noticed by the next look.
                async with asyncio.timeout(min(left, 30.0)):
                    await event.wait()
                return True
            except TimeoutError:
                continue
