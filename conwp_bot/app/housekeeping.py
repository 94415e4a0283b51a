"""Small things done now and then: old rows are forgotten, the watchdog is told that we live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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
    store: SqliteStore, clock: Clock, retention: Callable[[], timedelta], stop: asyncio.Event
) -> None:
    """Delete what is older than `retention` and at rest, every hour, in small batches."""
    while not stop.is_set():
        try:
            while not stop.is_set():
                now = clock.now()
                if not await store.do(forget_old, now - retention(), now):
                    break
                await clock.wait(stop, now + BREATH)
        except ConwpBotError as error:
            log.error("old rows cannot be deleted: %s", error)
        await clock.wait(stop, clock.now() + FORGET_EVERY)


async def watchdog_forever(notifier: Notifier, store: SqliteStore, clock: Clock, stop: asyncio.Event) -> None:
    """Tell systemd that we live for as long as the loop turns and the store's writer answers; else it starts us anew."""
    if notifier.watchdog is None:
        return
    while not stop.is_set():
        try:
            await asyncio.wait_for(store.do(_nothing), notifier.watchdog.total_seconds())
            notifier.alive()
        except TimeoutError:
            log.error("the database does not answer")
        except ConwpBotError as error:
            # A full disk is not mended by a restart: the daemon goes on and says what is wrong.
            log.error("the database does not work: %s", error)
            notifier.alive()
        await clock.wait(stop, clock.now() + notifier.watchdog / 2)


def _nothing(_conn: object) -> None:
    """An empty unit: it only shows that units are carried out."""
