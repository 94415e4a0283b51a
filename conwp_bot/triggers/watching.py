"""Hints that something changed in a folder. A hint may be lost: who needs the truth looks again from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from watchfiles import awatch

log = logging.getLogger(__name__)

# Milliseconds. One look at the queue costs next to nothing, but each wakes the machine.
_DEBOUNCE = 200
_STEP = 50

Identity = tuple[int, int]
"""Device and inode: another one under the same path is another folder."""


class FolderWatch:
    """Watches a set of folders and calls `hint`; `watch` replaces the set when it differs."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self._hint = hint
        self._folders: Mapping[Path, tuple[Identity, bool]] = {}
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def watch(self, folders: Mapping[Path, tuple[Identity, bool]]) -> None:
        """Watch these folders, each with its identity and whether also those inside it."""
        if folders == self._folders:
            return
        await self.stop()
        self._folders = dict(folders)
        self._stop = asyncio.Event()
        for inner in (False, True):
            paths = [path for path, (_, recursive) in folders.items() if recursive is inner]
            if paths:
                self._tasks.append(asyncio.create_task(self._run(paths, inner, self._stop), name="watch"))
        # The tasks are now watching; what came between the last look and this moment was told by nobody.
        await asyncio.sleep(0)
        self._hint()
        # The watchers exist once their tasks have run a step; what came between the last look and then is for another look.
        await asyncio.sleep(0)
        self._hint()

    async def stop(self) -> None:
        """End watching."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        self._folders = {}

    async def _run(self, paths: list[Path], recursive: bool, stop: asyncio.Event) -> None:
        try:
            async for _ in awatch(
                *paths,
                watch_filter=None,
                debounce=_DEBOUNCE,
                step=_STEP,
                stop_event=stop,
                recursive=recursive,
                ignore_permission_denied=True,
            ):
                self._hint()
        except Exception as error:
            # Usually too many watches (fs.inotify.max_user_watches). A lost watch must stop nothing: the regular look finds all.
            log.warning("folders cannot be watched, they are looked at once a minute instead: %s", error)
