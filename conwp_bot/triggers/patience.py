"""Trying again until it works: an event that was seen is never dropped because the store is busy."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta

from conwp_bot.clock import Clock
from conwp_bot.errors import StoreBusy, StoreClosed

log = logging.getLogger(__name__)

_FIRST = timedelta(seconds=1)
_LONGEST = timedelta(minutes=1)


async def insist(
    what: str,
    act: Callable[[], Awaitable[None]],
    *,
    clock: Clock,
    stop: asyncio.Event,
    wanted: Callable[[], bool] = lambda: True,
    faults: int | None = None,
) -> bool:
    """Do `act` until it succeeds, with growing pauses up to a minute; `what` says in the log what is late.

    False when it is no longer wanted, at the stop, when the store has closed, and after so many `faults` (None: never), which a busy
    store is not.
    """
    pause = _FIRST
    left = math.inf if faults is None else faults
    while wanted():
        try:
            await act()
            return True
        except StoreClosed:
            return False
        except StoreBusy as error:
            pause = max(pause, timedelta(seconds=error.retry_after))
            log.info("%s yet, trying again: %s", what, error)
        except Exception:
            left -= 1
            if left <= 0:
                log.exception("%s; it was tried often enough", what)
                return False
            log.exception("%s yet, trying again", what)
        pause = min(pause, _LONGEST)
        if await clock.wait(stop, clock.now() + pause):
            return False
        pause *= 2
    return False
