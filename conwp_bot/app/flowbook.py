"""The flows that are live, what is wrong with those that are not, and who is told when that changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from conwp_bot.clock import Clock
from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import Flow, FlowSet
from conwp_bot.flows.load import FlowLoader, LoadResult
from conwp_bot.model.problem import Problem, Severity
from conwp_bot.store import catalog
from conwp_bot.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

GONE_SECONDS = 0.25
"""A file that is still missing after this is gone."""


class Flowbook:
    """Loads flows, remembers each version in the store before any run can begin with it, then tells the listeners."""

    def __init__(self, folder: Path, root: Path, defaults: FlowDefaults, store: SqliteStore, clock: Clock) -> None:
        self.folder = folder
        self._root = root
        self.defaults = defaults
        self._store = store
        self._clock = clock
        self._loader = FlowLoader(folder, defaults, root=root)
        self._listeners: list[Callable[[FlowSet], Awaitable[None]]] = []
        self._lock = asyncio.Lock()
        self.flow_set = FlowSet()
        self.problems: tuple[Problem, ...] = ()
        self.broken: frozenset[str] = frozenset()
        self.loaded_at: datetime | None = None

    def listen(self, listener: Callable[[FlowSet], Awaitable[None]]) -> None:
        """Call `listener` with every new flow set."""
        self._listeners.append(listener)

    def set_defaults(self, defaults: FlowDefaults) -> None:
        """Load with other defaults from the next `reload` on."""
        if defaults != self.defaults:
            self.defaults = defaults
            self._loader = FlowLoader(self.folder, defaults, root=self._root)

    async def reload(self) -> LoadResult:
        """Look at the folder again; whatever changed is live when this returns, whatever is broken keeps its last good version."""
        async with self._lock:
            first = self.loaded_at is None
            result = await asyncio.to_thread(self._loader.load, self.flow_set)
            if result.removed and not first:
                # An editor that saves by renaming leaves the name empty for a moment: its webhook must not be answered 404.
                await asyncio.sleep(GONE_SECONDS)
                result = await asyncio.to_thread(self._loader.load, self.flow_set)
            if first and result.broken:
                # Broken while we were away: what ran when we stopped runs on.
                last_good = await self._last_good(sorted(result.broken))
                result = await asyncio.to_thread(self._loader.load, FlowSet(last_good))
            if first or result.changed or result.removed:
                flows = list(result.flow_set.flows.values())
                await self._store.do(catalog.put_flows, [live_flow(flow) for flow in flows], self._clock.now())
                self.flow_set = result.flow_set
                for listener in self._listeners:
                    await listener(result.flow_set)
                if not first:
                    for identity in sorted(result.changed):
                        log.info("flow is live", extra={"flow": identity})
                    for identity in sorted(result.removed):
                        log.info("flow is gone; its waiting messages stay", extra={"flow": identity})
            self.loaded_at = self._clock.now()
            self._tell_problems(result.problems)
            self.broken = frozenset(result.broken)
            return result

    async def _last_good(self, ids: Sequence[str]) -> dict[str, Flow]:
        found: dict[str, Flow] = {}
        for stored in await self._store.read(catalog.live_versions, ids):
            defaults = FlowDefaults(ZoneInfo(stored.timezone), stored.locale, self.defaults.accounts)
            flow, _ = build_flow(stored.flow, stored.source, stored.file, defaults)
            if flow is not None:
                found[flow.id] = flow
        return found

    def _tell_problems(self, problems: Sequence[Problem]) -> None:
        """Log what was not there at the last look; what is mended is said too."""
        known = set(self.problems)
        for problem in problems:
            if problem not in known:
                level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
                log.log(level, "%s", problem)
        if self.problems and not problems:
            log.info("no flow has problems any more")
        self.problems = tuple(problems)


def live_flow(flow: Flow) -> catalog.LiveFlow:
    """Return what the store keeps of a flow."""
    version = catalog.FlowVersion(flow.id, flow.file, flow.source, flow.timezone.key, flow.locale)
    return catalog.LiveFlow(flow.hash, version, flow.delivery)
