"""The daemon: everything built, started, kept in step with its files, and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from conwp_bot import __version__
from conwp_bot.app.control import socket_path
from conwp_bot.app.control_app import control_app
from conwp_bot.app.engine import Engine, ended, open_engine, start_engine
from conwp_bot.app.housekeeping import forget_forever, watchdog_forever
from conwp_bot.app.lock import data_lock, is_held
from conwp_bot.app.operations import EngineOperations
from conwp_bot.app.place import sandbox_settings
from conwp_bot.app.reload import Reloader, loader
from conwp_bot.app.slots import StoredSlots
from conwp_bot.app.systemd import Notifier
from conwp_bot.clock import Clock, SystemClock
from conwp_bot.errors import AlreadyRunning, ConwpBotError
from conwp_bot.model.problem import Problem
from conwp_bot.model.secret import Secret
from conwp_bot.runs.scope import key_scope
from conwp_bot.sandbox import Sandbox
from conwp_bot.settings import Settings, WebSettings
from conwp_bot.settings.load import load_settings
from conwp_bot.settings.secrets import resolve_secret
from conwp_bot.store.records import runs_of_events
from conwp_bot.telemetry import configure, register_secret
from conwp_bot.triggers.registry import Sources
from conwp_bot.web.app import make_app
from conwp_bot.web.server import WebServer, bind_tcp, bind_unix

log = logging.getLogger(__name__)

EXIT_FAILED = 70


class ConfigRejected(ConwpBotError):
    """The config has errors; `problems` are all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"the config has {len(problems)} problems", hint="`conwp-bot check` shows them")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SandboxChoice:
    """Send to a sandbox of our own instead of ConWP; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8701


@dataclass(slots=True)
class Daemon:
    """A daemon that runs: what tests and the demo look at."""

    engine: Engine
    sources: Sources
    operations: EngineOperations
    reloader: Reloader
    health: Callable[[], str]
    web_address: str
    sandbox: Sandbox | None


def run_daemon(
    file: Path,
    *,
    sandbox: SandboxChoice | None = None,
    listen: tuple[str, int] | None = None,
    environ: Mapping[str, str] | None = None,
    on_ready: Callable[[Daemon], None] | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    0 after a stop in order, 70 when the daemon failed by a fault of its own: then it is worth starting again. Raises ConfigRejected,
    AlreadyRunning, StoreBroken, SettingsError before anything is live.
    """
    environ = os.environ if environ is None else environ
    settings, problems = load_settings(file, environ)
    if settings is None:
        raise ConfigRejected(problems)
    configure(settings.log.level, settings.log.format, sys.stderr)
    for problem in problems:
        if sandbox is None or not problem.path.endswith(".api_key"):  # the sandbox takes any key
            log.warning("%s", problem)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(settings, sandbox, listen, environ, on_ready))
    except AlreadyRunning:
        raise
    except ConwpBotError as error:
        if "NOTIFY_SOCKET" not in environ:
            raise
        # A port that is not free yet, a disk that is full: for systemd to try again, unlike a config with problems.
        log.critical("%s%s", error, f"; {error.hint}" if error.hint else "")
        return EXIT_FAILED
    except Exception:
        log.critical("the daemon failed", exc_info=True)
        return EXIT_FAILED


async def _run(
    settings: Settings,
    sandbox: SandboxChoice | None,
    listen: tuple[str, int] | None,
    environ: Mapping[str, str],
    on_ready: Callable[[Daemon], None] | None,
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_stop, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # while all is being read anyway
    async with AsyncExitStack() as stack:
        daemon = await start_daemon(
            stack, settings, clock=SystemClock(), environ=environ, sandbox=sandbox, listen=listen, stopping=stop
        )
        loop.add_signal_handler(signal.SIGHUP, daemon.reloader.hint_all)
        _settle_memory()
        if on_ready is not None:
            on_ready(daemon)
        failed = await _first_failure(stop, daemon.engine)
        stop.set()
        log.info("stopping")
    log.info("stopped")
    return EXIT_FAILED if failed else 0


async def _first_failure(stop: asyncio.Event, engine: Engine) -> bool:
    """Wait for `stop`, or for a part that ended before: a daemon that takes events and sends nothing must not look healthy."""
    stopped = asyncio.create_task(stop.wait())
    ended: list[asyncio.Task[None]] = []
    try:
        while not stopped.done() and not ended:
            parts = [*engine.tasks, *engine.dispatcher.tasks]  # a reload may have brought another lane
            await asyncio.wait({stopped, *parts}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in parts if task.done()]
    finally:
        stopped.cancel()
    if stop.is_set():
        return False
    for task in ended:
        cause = None if task.cancelled() else task.exception()
        log.critical("a part of the daemon has ended: %s", task.get_name(), exc_info=cause)
    return True


def _settle_memory() -> None:
    """Take what is there for good (modules, forms, flows) out of the collector's sight.

    Walking it takes 50 ms, which once a second or so is a webhook's answer; flows loaded later are few beside it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _on_stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        # Asked twice: what is in flight will be called unknown at the next start, which is what it is.
        os._exit(130)
    stop.set()


async def start_daemon(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    sandbox: SandboxChoice | None = None,
    listen: tuple[str, int] | None = None,
    stopping: asyncio.Event | None = None,
) -> Daemon:
    """Build and start everything; `stack` stops it in reverse: sources, intake, runs, requests in flight, web, store, lock."""
    notifier = Notifier(environ)
    stopping = stopping or asyncio.Event()
    # First of all: a second daemon is told so, whatever else of the first one's is in its way.
    other = sandbox_settings(settings).data if sandbox is None else settings.data
    if is_held(other):
        # Their data are apart, but not their drop folders: each would take half of the files.
        raise AlreadyRunning(str(other), None)
    stack.enter_context(data_lock((settings if sandbox is None else sandbox_settings(settings)).data))
    local: Sandbox | None = None
    if sandbox is not None:
        local = Sandbox(clock=clock)
        await local.start(sandbox.host, sandbox.port)
        stack.push_async_callback(local.stop)
    adjust = _adjustment(local, listen)
    settings = adjust(settings)

    web_socket = bind_tcp(settings.web.host, settings.web.port)
    stack.callback(web_socket.close)
    engine = await open_engine(stack, settings, clock)
    watchdog = asyncio.create_task(watchdog_forever(notifier, engine.store), name="watchdog")
    stack.push_async_callback(_end, watchdog)  # last: also a stop that takes its time is alive

    state = ["starting"]

    def health() -> str:
        return "stopping" if stopping.is_set() else state[0]

    async def known(ids: Sequence[str]) -> set[str]:
        return set(await engine.store.read(runs_of_events, ids))

    def resolve(source: str) -> Secret | None:
        secret = resolve_secret(source, engine.settings.root, environ)
        if secret is not None:
            register_secret(secret)
        return secret

    sources = Sources(
        engine.intake,
        root=settings.root,
        data=settings.data,
        slots=StoredSlots(engine.store),
        known=known,
        resolve=resolve,
        key_scope=key_scope,
        clock=clock,
        ids=engine.ids,
    )
    web = WebServer(make_app(sources.hooks, health), [web_socket])
    await web.start()
    stack.push_async_callback(web.stop)

    engine.flowbook.listen(sources.set_flows)

    async def applied(changed: Settings) -> None:
        await engine.set_settings(changed)
        configure(changed.log.level, changed.log.format, sys.stderr)

    reloader = Reloader(engine, clock=clock, load=loader(settings.file, environ, adjust), applied=applied)
    operations = EngineOperations(
        engine,
        daemon=True,
        next_slots=sources.next_slots,
        reload=lambda: reloader.look(config=True),
        extra={"web": web.addresses[0], "sandbox": local.address if local else None},
    )
    await engine.flowbook.reload()
    await start_engine(stack, engine)
    await sources.start()
    stack.push_async_callback(sources.stop)

    path, folder = socket_path(settings.data)
    if folder is not None:
        stack.callback(os.close, folder)
    control = WebServer(control_app(operations), [bind_unix(Path(path))])
    await control.start()
    stack.push_async_callback(control.stop)

    forgetting = forget_forever(engine.store, clock, lambda: engine.settings.retention, engine.keeper.pending, stopping)
    stack.push_async_callback(_end, asyncio.create_task(forgetting, name="retention"))
    reloading = asyncio.create_task(reloader.run(), name="reloader")
    stack.push_async_callback(ended, reloading)
    stack.callback(reloader.stop)
    engine.tasks.append(reloading)

    state[0] = "ok"
    stack.callback(notifier.stopping)
    stack.callback(stopping.set)
    flows = engine.flowbook.flow_set.flows
    status = f"{len(flows)} flows live, {len(engine.flowbook.broken)} broken; hooks at http://{web.addresses[0]}/hooks/"
    notifier.ready(status)
    reloader.announce(notifier)
    log.info("conwp-bot %s: %s", __version__, status)
    if local is not None:
        log.info("sending to the sandbox, not to ConWP: %s", local.address)
    return Daemon(engine, sources, operations, reloader, health, web.addresses[0], local)


def _adjustment(local: Sandbox | None, listen: tuple[str, int] | None) -> Callable[[Settings], Settings]:
    """Return what the command line's wishes make of a config, now and at every reload."""

    def adjust(settings: Settings) -> Settings:
        if listen is not None:
            settings = replace(settings, web=WebSettings(*listen))
        if local is not None:
            accounts = {
                name: replace(account, base_url=local.base_url, api_key=account.api_key or Secret(f"sandbox-{name}"))
                for name, account in settings.accounts.items()
            }
            settings = replace(sandbox_settings(settings), accounts=accounts)
        return settings

    return adjust


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (the `fast` extra), else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
