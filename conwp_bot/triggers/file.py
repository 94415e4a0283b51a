"""The source of dropped files: each file that has stopped changing becomes an event, and is taken away first."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conwp_bot.clock import Clock
from conwp_bot.errors import StoreClosed
from conwp_bot.flows.flow import FileTrigger, Flow, FlowSet
from conwp_bot.ids import Ids
from conwp_bot.model.event import Event, EventKind, EventReceipt
from conwp_bot.triggers.file_event import file_event_data
from conwp_bot.triggers.folders import DropPattern, Found, is_plain_name
from conwp_bot.triggers.intake import Intake, Known
from conwp_bot.triggers.keeper import ARCHIVE
from conwp_bot.triggers.patience import insist
from conwp_bot.triggers.taking import FILES, Changed, NotTaken, Origin, Taken, discard, take, taken_files
from conwp_bot.triggers.watching import FolderWatch, Identity

log = logging.getLogger(__name__)

RESCAN = timedelta(seconds=60)
_AT_ONCE = 8
_FAULTS = 4


@dataclass(frozen=True, slots=True)
class _Drop:
    """A live file trigger and where it looks."""

    flow: Flow
    trigger: FileTrigger
    pattern: DropPattern


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file that may still change, and since when (monotonic) it has looked like this."""

    found: Found
    since: float


@dataclass(slots=True)
class _Look:
    """What a look found: the folders to watch, the files to take, and when to look again."""

    again: datetime
    folders: dict[Path, tuple[Identity, bool]] = field(default_factory=dict)
    settled: list[tuple[_Drop, Found]] = field(default_factory=list)


class FileSource:
    """Takes dropped files: also those that were there before the start, and those that a crash left half taken.

    A change in a folder is a hint to look; a look every minute finds what no hint told. A file that several triggers match is the first
    flow's (by id).
    """

    def __init__(self, intake: Intake, known: Known, clock: Clock, ids: Ids, *, root: Path, data: Path) -> None:
        """Patterns are relative to `root`; taken files are kept in `data`."""
        self._intake = intake
        self._known = known
        self._clock = clock
        self._ids = ids
        self._root = root
        self._data = data
        self._flows = FlowSet()
        self._drops: tuple[_Drop, ...] = ()
        self._seen: dict[Path, _Seen] = {}
        self._refused: dict[Path, Found] = {}
        self._orphans: dict[str, Taken] = {}
        self._said: dict[Path, str] = {}
        self._hint = asyncio.Event()
        self._stop = asyncio.Event()
        self._watch = FolderWatch(self._hint.set)
        self._loop: asyncio.Task[None] | None = None

    def set_flows(self, flow_set: FlowSet) -> None:
        """Look for this flow set's files from now on; a drop folder that is missing is made."""
        drops = []
        for flow_id in sorted(flow_set.flows):
            flow = flow_set.flows[flow_id]
            for trigger in flow.triggers:
                if not isinstance(trigger, FileTrigger):
                    continue
                try:
                    drops.append(_Drop(flow, trigger, DropPattern.parse(trigger.pattern, self._root)))
                except ValueError as error:
                    log.error("flow %s takes no files: %s", flow_id, error, extra={"flow": flow_id})
        self._flows = flow_set
        self._drops = tuple(drops)
        self._hint.set()

    async def start(self) -> None:
        """Begin to look; what a crash left half taken comes first. Raises OSError when the data folder cannot be read."""
        # Listed before anybody can fire a flow by hand: a file being copied in for that is no leftover.
        left = await asyncio.to_thread(lambda: list(taken_files(self._data)))
        self._loop = asyncio.create_task(self._run(left), name="files")

    async def stop(self) -> None:
        """Take no more; what is being stored is waited for, what waits for a retry is found again at the next start."""
        self._stop.set()
        self._hint.set()
        if self._loop is not None:
            await self._loop
        await self._watch.stop()

    async def _run(self, left: list[Taken]) -> None:
        await insist(
            "files that were taken before the start are not stored",
            lambda: self._recover(left),
            clock=self._clock,
            stop=self._stop,
        )
        while not self._stop.is_set():
            self._hint.clear()
            try:
                look_at = await self._round()
            except Exception:
                log.exception("a look for dropped files failed; the next is in a minute")
                look_at = self._clock.now() + RESCAN
            await self._clock.wait(self._hint, look_at)

    async def _round(self) -> datetime:
        """Look once and take what has settled; returns when to look again."""
        await self._adopt_orphans()
        look = await asyncio.to_thread(self._look, self._drops, self._clock.now(), self._clock.monotonic())
        await self._watch.watch(look.folders)
        for begin in range(0, len(look.settled), _AT_ONCE):
            if self._stop.is_set():
                break
            await asyncio.gather(*(self._take(*each) for each in look.settled[begin : begin + _AT_ONCE]))
        return look.again

    async def _recover(self, left: list[Taken]) -> None:
        known = await self._known([taken.event for taken in left]) if left else set()
        self._orphans = {taken.event: taken for taken in left if taken.event not in known}

    async def _adopt_orphans(self) -> None:
        """Store the events of files that were taken but never stored, once their flow is there."""
        for event, taken in list(self._orphans.items()):
            drop = self._drop_of(taken.origin)
            if drop is None:
                self._complain(taken.path, f"its flow {taken.origin.flow} is gone; it stays at {taken.path}")
            else:
                del self._orphans[event]
                await self._store(drop, taken)

    def _drop_of(self, origin: Origin) -> _Drop | None:
        own = (drop for drop in self._drops if (drop.flow.id, drop.trigger.id) == (origin.flow, origin.trigger))
        return next(own, None)

    def _look(self, drops: tuple[_Drop, ...], now: datetime, monotonic: float) -> _Look:
        """Say what is there. Runs in a thread, one at a time."""
        look = _Look(again=now + RESCAN)
        unsettled: dict[Path, _Seen] = {}
        claimed: set[Path] = set()
        for drop in drops:
            base = drop.pattern.base
            try:
                identity = self._folder(drop)
                found_now = list(drop.pattern.find())
            except OSError as error:
                self._complain(base, f"it cannot be looked into: {error.strerror}")
                continue
            self._said.pop(base, None)
            inner = bool(drop.pattern.folders) or look.folders.get(base, (identity, False))[1]
            look.folders[base] = identity, inner
            for found in found_now:
                path = found.path
                if path in claimed or self._refused.get(path) == found:
                    continue
                claimed.add(path)
                seen = self._seen.get(path)
                if seen is None or seen.found != found:
                    seen = _Seen(found, monotonic)
                wait = _unsettled_for(seen, drop.trigger.settle, now, monotonic)
                if wait <= timedelta(0):
                    look.settled.append((drop, found))
                else:
                    unsettled[path] = seen
                    look.again = min(look.again, now + wait)
        self._seen = unsettled
        self._refused = {path: found for path, found in self._refused.items() if os.path.lexists(path)}
        look.settled.sort(key=lambda each: (each[1].mtime_ns, each[1].name))
        return look

    def _folder(self, drop: _Drop) -> Identity:
        """Return the identity of a trigger's folder, which is made when it is missing. Raises OSError."""
        base = drop.pattern.base
        try:
            seen = base.stat()
        except FileNotFoundError:
            base.mkdir(parents=True, exist_ok=True)
            seen = base.stat()
            log.info("the drop folder %s was made", base, extra={"flow": drop.flow.id})
        ours = (self._data / FILES, self._data / ARCHIVE)
        if any(base.resolve().is_relative_to(each.resolve()) for each in ours):
            raise OSError(0, "it is where taken files are kept")
        return seen.st_dev, seen.st_ino

    async def _take(self, drop: _Drop, found: Found) -> None:
        if not is_plain_name(found.name):
            self._refuse(found, "its name has letters that cannot be shown; rename it")
            return
        event = self._ids.make("ev", self._clock.now())
        origin = self._origin(drop, found)
        follow = found.folder == drop.pattern.base
        try:
            path = await asyncio.to_thread(take, self._data, event, found, origin, follow=follow)
        except Changed:
            self._hint.set()
            return
        except NotTaken as error:
            self._refuse(found, str(error))
            return
        except OSError as error:
            self._refuse(found, error.strerror or str(error))
            path = self._data / FILES / event / found.name
            if path.exists():  # moved, and then something failed: it is ours
                self._orphans[event] = Taken(event, origin, path)
            return
        await self._store(drop, Taken(event, origin, path))

    def _origin(self, drop: _Drop, found: Found) -> Origin:
        source = found.path
        inside = source.is_relative_to(self._root)
        return Origin(
            flow=drop.flow.id,
            trigger=drop.trigger.id,
            path=str(source.relative_to(self._root) if inside else source),
            source=str(source),
            name=found.name,
            size=found.size,
            mtime_ns=found.mtime_ns,
            ctime_ns=found.ctime_ns,
            inode=found.inode,
        )

    async def _store(self, drop: _Drop, taken: Taken) -> None:
        """Store a taken file's event; what cannot be stored stays in the data folder, for the next look or the next start."""
        flow, trigger, origin, now = drop.flow, drop.trigger, taken.origin, self._clock.now()
        try:
            data = await asyncio.to_thread(file_event_data, flow, trigger, taken.event, origin, taken.path, now)
        except OSError as error:
            self._complain(taken.path, f"it cannot be read: {error.strerror}")
            self._orphans[taken.event] = taken
            return
        event = Event(taken.event, flow.id, trigger.id, EventKind.FILE, now, origin.key, data)
        receipts: list[EventReceipt] = []
        closing = False

        async def accept() -> None:
            nonlocal closing
            try:
                receipts.append(await self._intake.accept(flow, event))
            except StoreClosed:
                closing = True
                raise

        what = f"the file {origin.path} of flow {flow.id} is taken, but not stored"
        if not await insist(what, accept, clock=self._clock, stop=self._stop, faults=_FAULTS):
            if not closing:
                self._orphans[taken.event] = taken  # every look tries again
            return
        if receipts[0].event != taken.event:
            # The original of a copy that was taken before a crash: its event stands, and has the copy.
            await asyncio.to_thread(discard, taken)
            return
        log.info("file %s taken", origin.path, extra={"flow": flow.id, "event": taken.event})

    def _refuse(self, found: Found, reason: str) -> None:
        self._refused[found.path] = found
        log.error("file %s is not taken: %s", found.path, reason)

    def _complain(self, path: Path, reason: str) -> None:
        """Log what is wrong with a path, once while it lasts."""
        if self._said.get(path) != reason:
            self._said[path] = reason
            log.error("%s: %s", path, reason)


def _unsettled_for(seen: _Seen, settle: timedelta, now: datetime, monotonic: float) -> timedelta:
    """Return how long a file may still change; 0 or less when it has settled.

    A time of change that is long past settles it at once (it was renamed in, or lay there before the start); one in the future says
    nothing, so that only watching helps.
    """
    age = now - datetime.fromtimestamp(seen.found.mtime_ns / 1e9, UTC)
    watched = timedelta(seconds=monotonic - seen.since)
    return settle - max(age, watched)
