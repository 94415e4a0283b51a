"""Hot reload: file events are hints to look again; what is live is whatever the last look found good."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from conwp_bot.app.engine import RESTART_KEYS, Engine
from conwp_bot.app.systemd import Notifier
from conwp_bot.app.watched import watched_folders
from conwp_bot.clock import Clock
from conwp_bot.errors import ConwpBotError
from conwp_bot.model.problem import Problem, Severity
from conwp_bot.settings import Settings
from conwp_bot.settings.load import load_settings
from conwp_bot.triggers.watching import FolderWatch

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=60)
"""Without a hint (a network mount, an overflowing queue) the folder is looked at this often."""


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
        self._watch = FolderWatch(self._hint.set)
        self._one_look = asyncio.Lock()
        self._all = False
        self._notifier: Notifier | None = None
        self._config_problems: tuple[Problem, ...] = ()
        self._config_stamp = self._stamp()
        self._needs_restart: tuple[str, ...] = ()

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
        """Watch until `stop`; whatever goes wrong with one look, there is a next one."""
        try:
            while not self._stop.is_set():
                self._hint.clear()
                everything, self._all = self._all, False
                try:
                    await self._look_and_tell(everything)
                except (ConwpBotError, OSError) as error:
                    log.error("not reloaded: %s", error)
                except Exception:
                    log.exception("not reloaded")
                # After the look, because it may have shown other folders; a changed set of them makes a hint to look once more.
                await self._watch.watch(await asyncio.to_thread(watched_folders, self._engine.settings))
                await self._clock.wait(self._hint, self._clock.now() + LOOK_EVERY)
        finally:
            await self._watch.stop()

    async def look(self, *, config: bool = False) -> Sequence[Problem]:
        """Look at the config, if its file changed (or `config`: its secrets may have), and at the flows; then what is good is live.

        Returns the config's problems; those of the flows are the flowbook's.
        """
        async with self._one_look:
            stamp = self._stamp()
            if config or stamp != self._config_stamp:
                await self._reload_config()
                self._config_stamp = stamp  # only now: what failed half-way is tried again
            await self._engine.flowbook.reload()
            return self._config_problems

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
        waiting = tuple(key for key in RESTART_KEYS if getattr(settings, key) != getattr(now, key))
        if waiting and waiting != self._needs_restart:
            log.warning("the config changed in a way that needs a restart: %s", ", ".join(waiting))
        self._needs_restart = waiting
        if replace(settings, **{key: getattr(now, key) for key in RESTART_KEYS}) != now:
            await self._applied(settings)
            log.info("the config is reloaded")

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
