"""One account's way from the outbox to the door: rounds that claim, requests that run beside each other."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from conwp_bot.clock import Clock
from conwp_bot.dispatch.door import Door
from conwp_bot.dispatch.limit import usable
from conwp_bot.dispatch.plan import BulkMode
from conwp_bot.dispatch.round import Claimed, RoundOrder, RoundResult, dispatch_round
from conwp_bot.errors import StoreBroken, StoreBusy, StoreClosed
from conwp_bot.model.delivery import DeliveryClass
from conwp_bot.model.outcome import Accepted
from conwp_bot.settings import AccountSettings
from conwp_bot.store import ledger, outbox
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

POLL = timedelta(seconds=5)
"""A lost hint delays a message by this much at the most."""

NO_KEY = timedelta(minutes=1)


AHEAD = timedelta(milliseconds=50)
"""How much work is claimed before a slot is free for it: enough that no slot waits for a claim's commit, little enough that an
alert does not wait behind it."""

MOST_AHEAD = 8
RECORDING = 4
"""Requests, per slot, whose answers may wait to be recorded; beyond that nothing more is sent."""


class Lane:
    """Takes an account's due messages to the door: rounds claim a little ahead, and each free slot takes the next.

    A slot is free when the answer is there; what it meant is recorded while the next request is under way.
    """

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
        self._look = True
        self._round: asyncio.Future[RoundResult] | None = None
        self._ready: deque[_Claim] = deque()
        self._requests: set[asyncio.Task[None]] = set()
        self._active = 0
        self._request_seconds = AHEAD.total_seconds()
        self._promised: Counter[str] = Counter()
        self._promised_requests = 0
        self._served: Mapping[DeliveryClass, str] = {}
        self._more = False
        self._next_start: datetime | None = None
        self._no_key_said: datetime | None = None
        self._blocked_until: datetime | None = None
        self._stopping = False

    def wake(self) -> None:
        """Say that something is or will be due: a hint, which may be lost without harm.

        The round is queued at once: behind the unit that stores the message, it mostly shares that unit's commit.
        """
        self._look = True
        if self._round is None and self._may_claim(self._clock.now()):
            try:
                self._round = self._submit_round()
            except (StoreBusy, StoreClosed):
                pass  # the poll will look
        self._hint.set()

    def set_account(self, account: AccountSettings) -> None:
        """Use other settings from the next round on."""
        self._account = account
        self._no_key_said = None
        self._blocked_until = None
        self.wake()

    async def run(self) -> None:
        """Work until `halt`."""
        if self._account.pace is not None:
            last = await self._store.read(ledger.last_reserved_at, self._account.name)
            if last is not None:
                self._next_start = last + self._pause()
        while not self._stopping:
            self._hint.clear()
            try:
                wake_at = await self.run_once()
            except StoreClosed:
                return
            except (StoreBroken, StoreBusy) as error:
                log.error("the outbox cannot be read: %s", error, extra={"account": self._account.name})
                wake_at = None
            poll_at = self._clock.now() + POLL
            await self._clock.wait(self._hint, poll_at if wake_at is None else min(wake_at, poll_at))

    def halt(self) -> None:
        """Begin nothing more; `run` returns once the round under way is over."""
        self._stopping = True
        self._hint.set()

    async def finish(self, patience: float) -> bool:
        """After `run` has returned: give back what was claimed, and wait for what is in flight, for at most `patience` seconds.

        Says whether all of it ended. What did not stays in flight in the store: the next start calls it unknown.
        """
        while self._ready:
            await self._door.put_back(self._ready.popleft().claimed, "the daemon is stopping")
        if not self._requests:
            return True
        _, late = await asyncio.wait(self._requests, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    async def run_once(self) -> datetime | None:
        """One round: claim what may go and start what has a slot; returns when the next round is worth starting."""
        now = self._clock.now()
        self._start_ready()  # a slot may have come free with nobody to fill it
        if self._round is None:
            if self._account.api_key is None:
                await self._say_no_key(now)
                return now + NO_KEY  # a key that comes wakes it at once
            if self._next_start is not None and self._next_start > now:
                return self._next_start
            if self._blocked_until is not None and self._blocked_until > now:
                return self._blocked_until
            if not self._may_claim(now):
                return None
            self._round = self._submit_round()
        try:
            # Shielded: its claims are ours, whoever gives up waiting.
            result = await asyncio.shield(self._round)
        finally:
            self._round = None
        self._served = result.served
        self._more = result.more
        # Until then nothing goes out, however much comes in: a file's every chunk need not ask again.
        self._blocked_until = result.wait.until if result.wait is not None else None
        for claimed in result.claimed:
            self._promise(claimed)
        self._start_ready()
        if self._look:
            return now  # something came while we looked, and could not queue a look of its own
        if result.claimed and self._account.pace is not None:
            self._next_start = now + self._pause()
            return self._next_start
        return result.wake_at

    def _may_claim(self, now: datetime) -> bool:
        """Say whether a round makes sense: there is a key, room, and no pause of the pace."""
        if self._stopping or self._account.api_key is None:
            return False
        if any(until is not None and until > now for until in (self._next_start, self._blocked_until)):
            return False
        return self._room() > 0

    def _submit_round(self) -> asyncio.Future[RoundResult]:
        account = self._account
        now = self._clock.now()
        self._look = False
        order = RoundOrder(
            account=account.name,
            lease=self._holder,
            lease_until=now + account.timeout * 2 + timedelta(seconds=60),
            limit=usable(account.limit),
            promised=self._promised_requests,
            promised_by_flow=dict(self._promised),
            free=self._room(),
            bulk=BulkMode(account.bulk.value),
            bulk_max=account.bulk_max,
            after=self._served,
            now=now,
        )
        return self._store.submit(dispatch_round, order)

    async def _say_no_key(self, now: datetime) -> None:
        """Write why nothing goes out; it is cleared when the account gets a key."""
        if self._no_key_said is not None and self._no_key_said > now:
            return
        self._no_key_said = now + NO_KEY
        account = self._account
        detail = f"account {account.name} has no API key: {account.key_source} gives nothing"
        await self._store.do(outbox.set_wait, "account", account.name, now + NO_KEY + POLL, "no key", detail, now)

    def _slots(self) -> int:
        """Return how many requests may be under way: one under a pace, or while the account's key is being tried."""
        if len(self._requests) >= self._account.concurrency * RECORDING:
            return 0
        one = self._account.pace is not None or self._door.probing(self._account.name)
        return 1 if one else self._account.concurrency

    def _room(self) -> int:
        """Return how many requests to claim now; 0 while enough is claimed, so that a round is worth its commit."""
        slots = self._slots()
        ahead = 0
        if slots > 1:
            ahead = min(MOST_AHEAD * slots, int(slots * AHEAD.total_seconds() / max(self._request_seconds, 0.001)))
        room = slots + ahead - self._active - len(self._ready)
        starving = slots - self._active - len(self._ready) > 0
        return room if starving or room > ahead // 2 else 0

    def _pause(self) -> timedelta:
        pace = self._account.pace
        assert pace is not None
        return pace.every + pace.jitter * self._jitter()

    def _promise(self, claimed: Claimed) -> None:
        claim = _Claim(claimed, Counter(message.flow for message in claimed.messages))
        self._promised += claim.flows
        self._promised_requests += 1
        self._ready.append(claim)

    def _keep_promise(self, claim: _Claim) -> None:
        """From its reservation on the ledger counts a request; counted twice, a flow near its limit would wait for nothing."""
        if claim.promised:
            claim.promised = False
            self._promised -= claim.flows
            self._promised_requests -= 1

    def _start_ready(self) -> None:
        while self._ready and self._active < self._slots() and not self._stopping:
            claim = self._ready.popleft()
            self._active += 1
            claim.active = True
            self._requests.add(asyncio.create_task(self._send(claim)))

    async def _send(self, claim: _Claim) -> None:
        begun = self._clock.monotonic()

        def answered() -> None:
            if claim.active:
                claim.active = False
                self._active -= 1
                self._request_seconds += (self._clock.monotonic() - begun - self._request_seconds) / 8
                self._start_ready()
                if self._more or self._look:
                    self._hint.set()

        try:
            outcome = await self._door.send(
                claim.claimed, on_begun=lambda: self._keep_promise(claim), on_answered=answered
            )
            # Unless it is done with, its message may wait again, now or at a time that only a look tells.
            if not isinstance(outcome, Accepted):
                self._look = True
        except asyncio.CancelledError:
            raise
        except Exception:
            # The door knows every fault of the road; this is one of ours. The messages' lease brings them back.
            log.exception("sending failed", extra={"message_id": claim.claimed.messages[0].id})
        finally:
            self._keep_promise(claim)
            task = asyncio.current_task()
            assert task is not None
            self._requests.discard(task)
            answered()
            self._start_ready()  # also when it is the recording of an answer that made room
            if self._blocked_until is not None:
                # The wait was reckoned while this one was open, which counts as long as it may take.
                self._blocked_until = None
                self._look = True
            if self._look:
                self._hint.set()


@dataclass(slots=True, eq=False)
class _Claim:
    """A claimed request on its way through the lane."""

    claimed: Claimed
    flows: Counter[str]
    promised: bool = True
    active: bool = False
