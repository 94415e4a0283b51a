"""The one entrance by which events become runs.

An event is evaluated at once, as far as one call of `advance` goes, and stored with its run and messages in one commit. What
arrives while a batch commits forms the next batch: one event alone waits for nobody, a thousand share a few commits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from conwp_bot.clock import Clock
from conwp_bot.errors import StoreBroken, StoreBusy, StoreClosed
from conwp_bot.flows.flow import Flow
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventReceipt, SlotMark
from conwp_bot.model.run import RunHeader, RunState
from conwp_bot.runs.advance import advance
from conwp_bot.runs.evaluation import EMPTY, accounts_of, broken_off, evaluated, surprise, write_logs
from conwp_bot.runs.happening import Began, Bounds, LogLine
from conwp_bot.store.records import Recorded, record_batch
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

WAITING = 2000
"""How many events may wait for their commit before senders are told to come again later."""

BATCH_EVENTS = 500
BATCH_MESSAGES = 5000
INLINE = Bounds(steps=5000)


@dataclass(slots=True)
class _Waiting:
    recorded: Recorded
    logs: tuple[LogLine, ...]
    receipt: asyncio.Future[EventReceipt]


class Intake:
    """Takes events; used from one event loop.

    `on_messages` gets the accounts that will have something new, right behind the unit that stores it; `on_unfinished` the id of a
    run that the runner must go on with, `on_ended` a run that ended at once: run id, event, and whether it went well, both after
    the commit. All are hints.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        on_messages: Callable[[Collection[str]], None],
        on_unfinished: Callable[[str], None],
        on_ended: Callable[[str, Event, bool], None],
        limits: Bounds = INLINE,
        waiting: int = WAITING,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._on_messages = on_messages
        self._on_unfinished = on_unfinished
        self._on_ended = on_ended
        self._limits = limits
        self._most = waiting
        self._queue: deque[_Waiting] = deque()
        self._unstored = 0
        self._committer: asyncio.Task[None] | None = None
        self._closing = False

    async def accept(self, flow: Flow, event: Event, *, mark: SlotMark | None = None) -> EventReceipt:
        """Evaluate and store an event; returns once it is durable, with the id to answer with.

        A repeat (same flow, trigger and key) stores nothing but its mark. Raises StoreBusy when too much waits, StoreClosed and
        StoreBroken as the store does: then nothing was stored.
        """
        if self._closing:
            raise StoreClosed("events are no longer taken: the daemon is stopping")
        if self._unstored >= self._most:
            raise StoreBusy(f"{self._unstored:,} events wait to be stored", retry_after=5.0)
        recorded, logs = self._evaluate(flow, event, mark)
        waiting = _Waiting(recorded, logs, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._unstored += 1
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all(), name="intake")
        return await waiting.receipt

    async def close(self) -> None:
        """Take no more, and return once all that was taken is stored."""
        self._closing = True
        if self._committer is not None:
            await self._committer

    def _evaluate(self, flow: Flow, event: Event, mark: SlotMark | None) -> tuple[Recorded, tuple[LogLine, ...]]:
        now = self._clock.now()
        header = RunHeader(self._ids.make("run", now), flow.id, flow.hash, event.id, now)
        try:
            advanced = advance(
                flow,
                header,
                event,
                EMPTY,
                Began(),
                now=now,
                new_id=lambda: self._ids.make("msg", now),
                limits=self._limits,
            )
        except Exception as error:
            # Whatever is wrong with us, the event was fired: it is kept, with a run that says so.
            log.exception("run %s of %s broke off", header.id, flow.id)
            return Recorded(event, header, broken_off(surprise(error), EMPTY, (), now), mark), ()
        return Recorded(event, header, evaluated(advanced, (), now), mark), advanced.logs

    async def _commit_all(self) -> None:
        try:
            while self._queue:
                await self._commit(self._next_batch())
        finally:
            self._committer = None

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        messages = 0
        while self._queue and len(batch) < BATCH_EVENTS and messages < BATCH_MESSAGES:
            waiting = self._queue.popleft()
            messages += len(waiting.recorded.evaluated.messages)
            batch.append(waiting)
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            stored = self._store.submit(record_batch, [waiting.recorded for waiting in batch])
            # Who sends may look already: behind this unit in the queue, its look shares the commit, and sees these messages.
            self._on_messages(
                {account for waiting in batch for account in accounts_of(waiting.recorded.evaluated.messages)}
            )
            receipts = await stored
        except asyncio.CancelledError:
            self._unstored -= len(batch)
            for waiting in batch:
                waiting.receipt.cancel()
            raise
        except (StoreBusy, StoreClosed, StoreBroken) as error:
            self._unstored -= len(batch)
            for waiting in batch:
                _fail(waiting, error)
            return
        except Exception as error:
            await self._commit_singly(batch, error)
            return
        self._unstored -= len(batch)
        for waiting, receipt in zip(batch, receipts, strict=True):
            self._tell(waiting, receipt)
        self._hint(batch, receipts)

    async def _commit_singly(self, batch: list[_Waiting], error: Exception) -> None:
        """Find the event that cannot be stored, and store it without what its run made: neither it nor its neighbours are lost."""
        if len(batch) > 1:
            for waiting in batch:
                await self._commit([waiting])
            return
        [waiting] = batch
        recorded = waiting.recorded
        self._unstored -= 1
        log.error("run %s of %s cannot be stored: %s", recorded.header.id, recorded.header.flow, type(error).__name__)
        bare = replace(recorded, evaluated=broken_off(surprise(error), EMPTY, (), recorded.evaluated.at))
        waiting = replace(waiting, recorded=bare, logs=())
        try:
            [receipt] = await self._store.do(record_batch, [bare])
        except Exception:
            _fail(waiting, error)
            return
        self._tell(waiting, receipt)
        self._hint([waiting], [receipt])

    def _tell(self, waiting: _Waiting, receipt: EventReceipt) -> None:
        if not waiting.receipt.done():  # its sender may have gone
            waiting.receipt.set_result(receipt)

    def _hint(self, batch: list[_Waiting], receipts: list[EventReceipt]) -> None:
        for waiting, receipt in zip(batch, receipts, strict=True):
            if not receipt.first:
                continue
            recorded = waiting.recorded
            write_logs(recorded.header, waiting.logs)
            if recorded.evaluated.state is RunState.RUNNING:
                self._on_unfinished(recorded.header.id)
            else:
                self._on_ended(recorded.header.id, recorded.event, recorded.evaluated.state is not RunState.FAILED)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.receipt.done():
        waiting.receipt.set_exception(error)
