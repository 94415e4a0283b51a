"""Small things done now and then: old rows are forgotten, the watchdog is told that we live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from conwp_bot.app.systemd import Notifier
from conwp_bot.clock import Clock
from conwp_bot.errors import ConwpBotError
from conwp_bot.store.retention import forget_old
from conwp_bot.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

FORGET_EVERY = timedelta(hours=1)
BREATH = timedelta(milliseconds=200)
"""Between two batches: nobody who has something to store waits behind a long clean-up."""


async def forget_forever(
    store: SqliteStore,
    clock: Clock,
    retention: Callable[[], timedelta],
    unfinished: Callable[[], Sequence[str]],
    stop: asyncio.Event,
) -> None:
    """Delete what is older than `retention` and at rest, every hour, in small batches.

    `unfinished` are the events whose files are not archived yet; it is asked in a thread.
    """
    while not stop.is_set():
        try:
            keep = await asyncio.to_thread(unfinished)
            while not stop.is_set():
                now = clock.now()
                if not await store.do(forget_old, now - retention(), now, keep):
                    break
                await clock.wait(stop, now + BREATH)
        except (ConwpBotError, OSError) as error:
            log.error("old rows cannot be deleted: %s", error)
        await clock.wait(stop, clock.now() + FORGET_EVERY)


async def watchdog_forever(notifier: Notifier, store: SqliteStore) -> None:
    """Tell systemd that we live for as long as the loop turns and the store's writer answers; else it starts us anew.

    Until it is cancelled: a stop that waits for requests in flight is alive too. Its time is the loop's, not the wall clock's, which may
    be set back.
    """
    if notifier.watchdog is None:
        return
    every = notifier.watchdog.total_seconds()
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            # Less than the pause, so that an answer that only just comes is still heard in time.
            # Not wait_for: Python 3.11's may swallow a cancellation that comes with the answer, and a stop would wait for ever.
            async with asyncio.timeout(every * 0.8):
                await store.do(_nothing)
            notifier.alive()
        except TimeoutError:
            log.error("the database does not answer")
        except ConwpBotError as error:
            # A full disk is not mended by a restart: the daemon goes on and says what is wrong.
            log.error("the database does not work: %s", error)
            notifier.alive()
        await asyncio.sleep(max(0.0, begun + every - loop.time()))


def _nothing(_conn: object) -> None:
    """An empty unit: it only shows that units are carried out."""
