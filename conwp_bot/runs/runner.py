"""Goes on with the runs that could not end at once: those over a file's rows, and the long ones.

Each run is a chunk at a time: read, advance, commit; its progress is in the commit, so a kill costs at most the chunk at hand.
Several runs take turns. Between two chunks the loop is free for others: a chunk is kept short by what the ones before it took.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import timedelta

from conwp_bot.clock import Clock
from conwp_bot.errors import ConwpBotError, StoreBroken, StoreBusy, StoreClosed
from conwp_bot.flows.flow import Flow
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event
from conwp_bot.model.rows import RowSource
from conwp_bot.model.run import RunProgress, RunState, TraceEntry
from conwp_bot.runs.advance import advance
from conwp_bot.runs.evaluation import EMPTY, accounts_of, broken_off, evaluated, surprise, write_logs
from conwp_bot.runs.happening import Advanced, Bounds, Happened, ReadRows, Resumed
from conwp_bot.runs.reading import RowReader
from conwp_bot.runs.trace import entries_of
from conwp_bot.store.records import Evaluated, StoredRun, continue_run, load_run, running_runs
from conwp_bot.store.seam import Store

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Runs that take turns; the others wait until one of these has ended."""

HIGH_WATER = 200_000
"""Pending messages at which reading rows pauses: more would only grow the database, nothing would go out sooner."""

ROOM_EVERY = 20
"""Chunks between two looks at the pending messages."""

LOOK = timedelta(seconds=30)
"""How often the store is asked for runs whose hint was lost."""

PAUSE = timedelta(seconds=1)
STORE_PAUSE = timedelta(seconds=5)
CHUNK_SECONDS = 0.02
"""How long a chunk should keep the loop from others, e.g. a webhook: shorter costs commits, longer costs their latency."""

_SMALLEST, _LARGEST = 20, 500


class _Place:
    """How far a run has come, as far as it is committed."""

    __slots__ = ("entries", "progress")

    def __init__(self, progress: RunProgress, entries: list[TraceEntry]) -> None:
        self.progress = progress
        self.entries = entries

    def moved(self, advanced: Advanced) -> None:
        """Take over what was just committed."""
        self.progress = advanced.progress
        self.entries.extend(advanced.trace)


class Runner:
    """Works runs to their end; used from one event loop, `run` once.

    `versions` gives the flow by id and hash as the run began with it, and raises a ConwpBotError when it is not known any more.
    `pending` gives the number of messages waiting to be sent. `on_messages` and `on_ended` are called after the commit.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        versions: Callable[[str, str], Awaitable[Flow]],
        rows: RowSource,
        pending: Callable[[], Awaitable[int]],
        on_messages: Callable[[Collection[str]], None],
        on_ended: Callable[[str, Event, bool], None],
        limits: Bounds | None = None,
        high_water: int = HIGH_WATER,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._versions = versions
        self._rows = rows
        self._pending = pending
        self._on_messages = on_messages
        self._on_ended = on_ended
        self._limits = limits or Bounds()
        self._high_water = high_water
        self._waiting: deque[str] = deque()
        self._known: set[str] = set()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._turn = asyncio.Lock()
        self._size = 100  # rows in a chunk; moves towards CHUNK_SECONDS

    def hint(self, run: str) -> None:
        """Say that a stored run has steps left."""
        if run not in self._known:
            self._known.add(run)
            self._waiting.append(run)
            self._wake.set()

    def stop(self) -> None:
        """Finish the chunks at hand, then let `run` return; unfinished runs go on at the next start."""
        self._stop.set()
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`. A lost hint costs at most `LOOK`: the store is asked at the start and now and then."""
        tasks: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._known.discard(task.get_name())
            self._wake.set()

        look_at = self._clock.now()
        try:
            while not self._stop.is_set():
                self._wake.clear()
                if self._clock.now() >= look_at:
                    await self._look()
                    look_at = self._clock.now() + LOOK
                while self._waiting and len(tasks) < AT_ONCE:
                    run = self._waiting.popleft()
                    task = asyncio.create_task(self._work(run), name=run)
                    tasks.add(task)
                    task.add_done_callback(ended)
                await self._clock.wait(self._wake, look_at)
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        try:
            for run in await self._store.read(running_runs):
                self.hint(run)
        except StoreClosed:
            self.stop()
        except StoreBroken as error:
            log.error("runs cannot be looked up: %s", error)

    async def _work(self, run: str) -> None:
        """Work one run to its end, or until `stop`."""
        try:
            stored = await self._store.read(load_run, run)
            if stored is not None and stored.state is RunState.RUNNING:
                await self._work_stored(stored)
        except StoreClosed:
            pass
        except StoreBroken as error:
            log.error("run %s cannot be read: %s", run, error)

    async def _work_stored(self, stored: StoredRun) -> None:
        progress = stored.progress or EMPTY
        at = _Place(progress, list(entries_of(stored.trace, progress)))
        reader = RowReader(self._rows, stored.event)
        try:
            flow = await self._versions(stored.header.flow, stored.header.flow_hash)
            await self._chunks(flow, stored, at, reader)
        except (StoreClosed, StoreBroken):
            raise
        except ConwpBotError as error:
            await self._break_off(stored, at, str(error))
        except (OSError, ValueError) as error:
            await self._break_off(stored, at, f"the rows cannot be read: {error}")
        except Exception as error:
            log.exception("run %s of %s broke off", stored.header.id, stored.header.flow)
            await self._break_off(stored, at, surprise(error))
        finally:
            await reader.close()

    async def _chunks(self, flow: Flow, stored: StoredRun, at: _Place, reader: RowReader) -> None:
        happened: Happened = Resumed()
        chunk = 0
        while not self._stop.is_set():
            if chunk % ROOM_EVERY == 0 and not await self._room():
                return
            chunk += 1
            advanced = await self._advance(flow, stored, at.progress, happened)
            now = self._clock.now()
            if (
                advanced.state is RunState.RUNNING
                and advanced.progress == at.progress
                and isinstance(happened, Resumed)
            ):
                pass  # it only said which rows it needs
            elif not await self._commit(stored, evaluated(advanced, at.entries, now)):
                return
            else:
                at.moved(advanced)
                write_logs(stored.header, advanced.logs)
            if advanced.need is None:
                return
            happened = await reader.rows(advanced.need) if isinstance(advanced.need, ReadRows) else Resumed()

    async def _advance(self, flow: Flow, stored: StoredRun, progress: RunProgress, happened: Happened) -> Advanced:
        async with self._turn:
            now = self._clock.now()
            size = min(self._size, self._limits.rows)
            begun = self._clock.monotonic()
            advanced = advance(
                flow,
                stored.header,
                stored.event,
                progress,
                happened,
                now=now,
                new_id=lambda: self._ids.make("msg", now),
                limits=replace(self._limits, messages=size, rows=size, steps=size * 20),
            )
            rows = advanced.progress.rows - progress.rows
            self._learn(max(rows, len(advanced.messages)), self._clock.monotonic() - begun)
            await asyncio.sleep(0)  # others' turn, still with ours held: one chunk between two looks at the sockets
        return advanced

    def _learn(self, done: int, seconds: float) -> None:
        """Fit the size of chunks to how long one takes here; one that had little to do only teaches that it was slow."""
        if seconds > CHUNK_SECONDS * 1.2:
            self._size = max(_SMALLEST, int(self._size * max(0.5, CHUNK_SECONDS / seconds)))
        elif seconds < CHUNK_SECONDS * 0.8 and done >= self._size // 2:
            self._size = min(_LARGEST, self._size + max(1, self._size // 8))

    async def _room(self) -> bool:
        """Wait until the outbox can take more; False when it is time to stop."""
        while await self._pending() >= self._high_water:
            if await self._clock.wait(self._stop, self._clock.now() + PAUSE):
                return False
        return not self._stop.is_set()

    async def _commit(self, stored: StoredRun, what: Evaluated) -> bool:
        """Store a chunk; False when the run has no future in this process. Tries again while the store is busy or broken."""
        run = stored.header.id
        while True:
            try:
                await self._store.do(continue_run, run, what)
            except (StoreBusy, StoreBroken) as error:
                log.warning("run %s waits for the store: %s", run, error)
                if await self._clock.wait(self._stop, self._clock.now() + STORE_PAUSE):
                    return False
                continue
            break
        if accounts := accounts_of(what.messages):
            self._on_messages(accounts)
        if what.state is not RunState.RUNNING:
            self._on_ended(run, stored.event, what.state is not RunState.FAILED)
        return True

    async def _break_off(self, stored: StoredRun, at: _Place, reason: str) -> None:
        log.warning("run %s of %s has failed: %s", stored.header.id, stored.header.flow, reason)
        await self._commit(stored, broken_off(reason, at.progress, at.entries, self._clock.now()))
