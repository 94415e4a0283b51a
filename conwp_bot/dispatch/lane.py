"""One account's way from the outbox to the door: rounds that claim, requests that run beside each other."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from conwp_bot.clock import Clock
from conwp_bot.dispatch.door import Door
from conwp_bot.dispatch.limit import usable
from conwp_bot.dispatch.plan import BulkMode
from conwp_bot.dispatch.round import Claimed, RoundOrder, dispatch_round
from conwp_bot.errors import StoreBroken, StoreBusy
from conwp_bot.settings import AccountSettings
from conwp_bot.store import ledger
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

POLL = timedelta(seconds=5)
"""A lost hint delays a message by this much at the most."""

NO_KEY = timedelta(minutes=1)


class Lane:
    """Takes an account's due messages to the door, a batch a round; each round says when the next is worth starting."""

    def __init__(
        self,
        account: AccountSettings,
        *,
        store: Store,
        door: Door,
        clock: Clock,
        holder: str,
        jitter: Callable[[], float],
    ) -> None:
        self._account = account
        self._store = store
        self._door = door
        self._clock = clock
        self._holder = holder
        self._jitter = jitter
        self._hint = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._promised: Counter[str] = Counter()
        self._promised_requests = 0
        self._served: str | None = None
        self._next_start: datetime | None = None
        self._stopping = False

    def wake(self) -> None:
        """Say that something may have become due: a hint, which may be lost without harm."""
        self._hint.set()

    def set_account(self, account: AccountSettings) -> None:
        """Use other settings from the next round on."""
        self._account = account
        self.wake()

    async def run(self) -> None:
        """Work until `stop`."""
        if self._account.pace is not None:
            last = await self._store.read(ledger.last_reserved_at, self._account.name)
            if last is not None:
                self._next_start = last + self._pause()
        while not self._stopping:
            self._hint.clear()
            try:
                wake_at = await self.run_once()
            except (StoreBroken, StoreBusy) as error:
                log.error("the outbox cannot be read: %s", error, extra={"account": self._account.name})
                wake_at = None
            poll_at = self._clock.now() + POLL
            await self._clock.wait(self._hint, poll_at if wake_at is None else min(wake_at, poll_at))

    async def stop(self, patience: float) -> bool:
        """Begin nothing more and wait for what is in flight, for at most `patience` seconds; says whether all of it ended.

        What did not end stays in flight in the store: the next start calls it unknown.
        """
        self._stopping = True
        self._hint.set()
        if not self._requests:
            return True
        _, late = await asyncio.wait(self._requests, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    async def run_once(self) -> datetime | None:
        """One round: claim what may go, start its requests; returns when the next round is worth starting."""
        now = self._clock.now()
        account = self._account
        if account.api_key is None:
            return now + NO_KEY
        free = self._free()
        if free <= 0:
            return None
        if self._next_start is not None and self._next_start > now:
            return self._next_start
        order = RoundOrder(
            account=account.name,
            lease=self._holder,
            lease_until=now + account.timeout * 2 + timedelta(seconds=60),
            limit=usable(account.limit),
            promised=self._promised_requests,
            promised_by_flow=dict(self._promised),
            free=free,
            bulk=BulkMode(account.bulk.value),
            bulk_max=account.bulk_max,
            after=self._served,
            now=now,
        )
        result = await self._store.do(dispatch_round, order)
        self._served = result.served
        for claimed in result.claimed:
            self._start(claimed)
        if result.claimed and account.pace is not None:
            self._next_start = now + self._pause()
            return self._next_start
        return result.wake_at

    def _free(self) -> int:
        """Return how many requests may be started: one at a time under a pace, or while the account's key is being tried."""
        one = self._account.pace is not None or self._door.probing(self._account.name)
        return (1 if one else self._account.concurrency) - len(self._requests)

    def _pause(self) -> timedelta:
        pace = self._account.pace
        assert pace is not None
        return pace.every + pace.jitter * self._jitter()

    def _start(self, claimed: Claimed) -> None:
        promise = Counter(message.flow for message in claimed.messages)
        self._promised += promise
        self._promised_requests += 1
        self._requests.add(asyncio.create_task(self._send(claimed, promise)))

    async def _send(self, claimed: Claimed, promise: Counter[str]) -> None:
        promised = True

        def kept() -> None:
            # From here on the ledger counts it; counted twice, a flow near its limit would wait for nothing.
            nonlocal promised
            if promised:
                promised = False
                self._promised -= promise
                self._promised_requests -= 1

        try:
            await self._door.send(claimed, on_begun=kept)
        except asyncio.CancelledError:
            raise
        except Exception:
            # The door knows every fault of the road; this is one of ours. The messages' lease brings them back.
            log.exception("sending failed", extra={"message_id": claimed.messages[0].id})
        finally:
            kept()
            task = asyncio.current_task()
            assert task is not None
            self._requests.discard(task)
            self._hint.set()
