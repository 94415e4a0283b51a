"""Hot reload: file events are hints to look again; what is live is whatever the last look found good."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import watchfiles

from conwp_bot.app.engine import Engine
from conwp_bot.app.systemd import Notifier
from conwp_bot.clock import Clock
from conwp_bot.errors import ConwpBotError
from conwp_bot.model.problem import Problem, Severity
from conwp_bot.settings import Settings
from conwp_bot.settings.load import load_settings

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=60)
"""Without a hint (a network mount, an overflowing queue) the folder is looked at this often."""

DEBOUNCE_MS = 200
STEP_MS = 20
"""A save is live within the step plus the load: the first quiet 20 ms end a batch of events, 200 ms do in any case."""

RESTART_KEYS = ("data", "web", "flows", "contacts")


class Reloader:
    """Looks at flows and config when a file changed, when asked, and every minute."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        load: Callable[[], tuple[Settings | None, list[Problem]]],
        applied: Callable[[Settings], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._load = load
        self._applied = applied
        self._hint = asyncio.Event()
        self._stop = asyncio.Event()
        self._all = False
        self._notifier: Notifier | None = None
        self._config_problems: tuple[Problem, ...] = ()
        self._config_stamp = self._stamp()

    def hint(self) -> None:
        """Say that something may have changed."""
        self._hint.set()

    def hint_all(self) -> None:
        """Say that the config is to be read again even if its file did not change: its secrets may have (SIGHUP)."""
        self._all = True
        self._hint.set()

    def announce(self, notifier: Notifier) -> None:
        """Tell systemd of every reload from now on."""
        self._notifier = notifier

    def stop(self) -> None:
        """Let `run` return."""
        self._stop.set()
        self._hint.set()

    async def run(self) -> None:
        """Watch until `stop`."""
        watchers = [
            asyncio.create_task(self._watch(lambda: self._engine.settings.flows, recursive=True), name="watch-flows"),
            asyncio.create_task(self._watch(lambda: self._engine.settings.root, recursive=False), name="watch-config"),
        ]
        await asyncio.sleep(0)  # the watchers begin before the first look, so that nothing falls between the two
        try:
            while not self._stop.is_set():
                self._hint.clear()
                everything, self._all = self._all, False
                try:
                    await self._look_and_tell(everything)
                except ConwpBotError as error:
                    log.error("not reloaded: %s", error)
                except OSError as error:
                    log.error("not reloaded: %s", error)
                await self._clock.wait(self._hint, self._clock.now() + LOOK_EVERY)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def look(self, *, config: bool = False) -> None:
        """Look at the config, if its file changed (or `config`: its secrets may have), and at the flows; then what is good is live."""
        stamp = self._stamp()
        if config or stamp != self._config_stamp:
            self._config_stamp = stamp
            await self._reload_config()
        await self._engine.flowbook.reload()

    async def _look_and_tell(self, everything: bool) -> None:
        if self._notifier is None or not everything:
            await self.look(config=everything)
            return
        self._notifier.reloading(self._clock.monotonic())
        try:
            await self.look(config=True)
        finally:
            self._notifier.ready(f"{len(self._engine.flowbook.flow_set.flows)} flows live")

    async def _reload_config(self) -> None:
        settings, problems = self._load()
        known = set(self._config_problems)
        for problem in problems:
            if problem not in known:
                log.log(logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING, "%s", problem)
        self._config_problems = tuple(problems)
        if settings is None:
            log.error("the config is not reloaded: %d problems; still running with the last good one", len(problems))
            return
        now = self._engine.settings
        waiting = [key for key in RESTART_KEYS if getattr(settings, key) != getattr(now, key)]
        if waiting:
            log.warning("the config changed in a way that needs a restart: %s", ", ".join(waiting))
        if settings != now:
            await self._applied(settings)
            log.info("the config is reloaded")

    async def _watch(self, folder: Callable[[], Path], *, recursive: bool) -> None:
        """Turn file events below a folder into hints; a folder that is not there yet is looked for with every round."""
        while True:
            path = folder()
            try:
                async for _ in watchfiles.awatch(
                    path,
                    recursive=recursive,
                    debounce=DEBOUNCE_MS,
                    step=STEP_MS,
                    rust_timeout=10_000,
                    yield_on_timeout=False,
                ):
                    self._hint.set()
            except (OSError, RuntimeError) as error:
                log.debug("%s cannot be watched: %s", path, error)
                await self._clock.wait(asyncio.Event(), self._clock.now() + timedelta(seconds=2))
                self._hint.set()

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._engine.settings.file)  # noqa: PTH116
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def loader(
    file: Path, environ: Mapping[str, str], adjust: Callable[[Settings], Settings]
) -> Callable[[], tuple[Settings | None, list[Problem]]]:
    """Return what loads the config again, with the command line's own wishes applied to it."""

    def load() -> tuple[Settings | None, list[Problem]]:
        settings, problems = load_settings(file, environ)
        return (adjust(settings) if settings is not None else None), problems

    return load
