"""After a run over a dropped file has ended: the file goes to the archive, its rejected rows beside it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from conwp_bot.app.flowbook import Flowbook
from conwp_bot.errors import ConwpBotError
from conwp_bot.model.event import Event, EventKind
from conwp_bot.model.run import RunState
from conwp_bot.store.records import load_run, rejects_of, runs_of_events
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.triggers.keeper import FileKeeper

log = logging.getLogger(__name__)


class FileFinisher:
    """Finishes files one after the other; what a crash left unfinished is found by its folder at the next start."""

    def __init__(self, store: SqliteStore, keeper: FileKeeper, flowbook: Flowbook) -> None:
        self._store = store
        self._keeper = keeper
        self._flowbook = flowbook
        self._ended: deque[tuple[str, Event, bool]] = deque()
        self._hint = asyncio.Event()
        self._stopping = False

    def ended(self, run: str, event: Event, ok: bool) -> None:
        """Say that a run has ended; only a file's is of interest."""
        if event.kind is EventKind.FILE:
            self._ended.append((run, event, ok))
            self._hint.set()

    def stop(self) -> None:
        """Finish what is known, then let `run` return."""
        self._stopping = True
        self._hint.set()

    async def run(self) -> None:
        """Work until `stop`."""
        await self._guarded("files of the last start cannot be looked for", self._find_unfinished())
        while True:
            while self._ended:
                run, event, ok = self._ended.popleft()
                await self._guarded(f"the file of run {run} cannot be archived", self._finish(run, event, ok))
            if self._stopping:
                return
            self._hint.clear()
            await self._hint.wait()

    async def _guarded(self, failure: str, work: Coroutine[Any, Any, None]) -> None:
        """One file's trouble is not the next one's."""
        try:
            await work
        except (ConwpBotError, OSError) as error:
            log.error("%s: %s; it stays in the data folder and is tried again at the next start", failure, error)
        except Exception:
            log.exception("%s; it stays in the data folder and is tried again at the next start", failure)

    async def _find_unfinished(self) -> None:
        waiting = await asyncio.to_thread(self._keeper.pending)
        known = await self._store.read(runs_of_events, list(waiting))
        for run, state in known.values():
            if state is RunState.RUNNING:
                continue
            stored = await self._store.read(load_run, run)
            if stored is not None:
                self._ended.append((run, stored.event, state is not RunState.FAILED))

    async def _finish(self, run: str, event: Event, ok: bool) -> None:
        rejects = await self._store.read(rejects_of, run)
        await asyncio.to_thread(self._keeper.finish, event, rejects, ok=ok)
        if rejects:
            log.warning(
                "%s: rejected rows: %d; see the file beside the archived one",
                event.data.get("file", {}).get("name", ""),
                len(rejects),
                extra={"flow": event.flow, "run": run},
            )
