"""From the outbox to the API: a lane for each account, and the reclaiming of what crashes and time left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from conwp_bot.clock import Clock
from conwp_bot.dispatch.door import Account, Door
from conwp_bot.dispatch.lane import Lane
from conwp_bot.dispatch.reclaim import reclaim
from conwp_bot.errors import StoreBroken, StoreBusy
from conwp_bot.store import outbox
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(seconds=15)
"""How often leases and expiries are looked at when nothing says when the next one is due."""


class Dispatcher:
    """Runs the lanes. `holder` names this start of the daemon: leases of any other are over."""

    def __init__(
        self,
        store: Store,
        door: Door,
        accounts: Mapping[str, Account],
        *,
        clock: Clock,
        holder: str,
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._door = door
        self._clock = clock
        self._holder = holder
        self._jitter = jitter
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._reclaimer: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._accounts = dict(accounts)

    async def start(self) -> None:
        """Reclaim what an earlier start left, then open the lanes."""
        result = await self._store.do(reclaim, self._clock.now(), self._holder)
        if result.released or result.doubtful:
            log.warning(
                "found %d claimed messages (waiting again) and %d in flight (now unknown) from an earlier start",
                result.released,
                result.doubtful,
            )
        for name in self._accounts:
            self._open(name)
        self._reclaimer = asyncio.create_task(self._reclaim_forever(result.next_expiry), name="reclaimer")

    async def stop(self, patience: float) -> bool:
        """Stop claiming, let requests in flight end for at most `patience` seconds; says whether all did."""
        self._stopping.set()
        self._door.stopping = True
        for lane in self._lanes.values():
            lane.halt()
        # One that failed is told by who watches it; the others' requests are still waited for.
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        ended = await asyncio.gather(*(lane.finish(patience) for lane in self._lanes.values()))
        if self._reclaimer is not None:
            await asyncio.gather(self._reclaimer, return_exceptions=True)
        return all(ended)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What works from `start` to `stop`: one that ends before is a fault."""
        return [*self._tasks.values(), *([self._reclaimer] if self._reclaimer is not None else [])]

    def wake(self, accounts: Iterable[str] | None = None) -> None:
        """Hint that messages of these accounts (None: of all) may be due."""
        for name in self._lanes if accounts is None else accounts:
            lane = self._lanes.get(name)
            if lane is not None:
                lane.wake()

    async def set_accounts(self, accounts: Mapping[str, Account]) -> None:
        """Take over changed accounts; one whose key or address changed is no longer parked for the old one's sake."""
        before, self._accounts = self._accounts, dict(accounts)
        self._door.set_accounts(accounts)
        for name, account in accounts.items():
            old = before.get(name)
            if old is not None and _same_way(old, account):
                self._lanes[name].set_account(account.settings)
                continue
            self._door.forget_trouble(name)
            await self._store.do(outbox.clear_wait, "account", name)
            if name in self._lanes:
                self._lanes[name].set_account(account.settings)
            else:
                self._open(name)

    def _open(self, name: str) -> None:
        lane = Lane(
            self._accounts[name].settings,
            store=self._store,
            door=self._door,
            clock=self._clock,
            holder=self._holder,
            jitter=self._jitter,
        )
        self._lanes[name] = lane
        self._tasks[name] = asyncio.create_task(lane.run(), name=f"lane {name}")

    async def _reclaim_forever(self, next_expiry: datetime | None) -> None:
        while True:
            look_at = self._clock.now() + LOOK_AGAIN
            await self._clock.wait(self._stopping, min(look_at, next_expiry) if next_expiry is not None else look_at)
            if self._stopping.is_set():
                return
            try:
                result = await self._store.do(reclaim, self._clock.now())
            except (StoreBroken, StoreBusy) as error:
                log.error("leases cannot be looked at: %s", error)
                next_expiry = None
                continue
            next_expiry = result.next_expiry
            if result.expired:
                log.warning("%d messages expired", result.expired)
            if result.released or result.doubtful:
                self.wake()


def _same_way(old: Account, new: Account) -> bool:
    return old.settings.api_key == new.settings.api_key and old.settings.base_url == new.settings.base_url
