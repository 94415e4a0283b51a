"""Store, runs and dispatch, built and running: what the daemon has in common with a command that works without one."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from conwp_bot import __version__
from conwp_bot.api.client import ConwpClient
from conwp_bot.app.finishing import FileFinisher
from conwp_bot.app.flowbook import Flowbook
from conwp_bot.app.lock import data_lock
from conwp_bot.clock import Clock
from conwp_bot.dispatch.dispatcher import Dispatcher
from conwp_bot.dispatch.door import Account, Door
from conwp_bot.errors import ConwpBotError
from conwp_bot.flows.compile import build_flow
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import Flow
from conwp_bot.ids import Ids
from conwp_bot.runs.intake import Intake
from conwp_bot.runs.runner import Runner
from conwp_bot.settings import Settings
from conwp_bot.store import catalog
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import pending_count
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.telemetry import register_secret
from conwp_bot.triggers.keeper import FileKeeper
from conwp_bot.triggers.tables import TableReader

log = logging.getLogger(__name__)

DATABASE = "conwp-bot.db"


@dataclass(slots=True)
class Engine:
    """The running parts, in the order in which a message passes them."""

    settings: Settings
    clock: Clock
    ids: Ids
    store: SqliteStore
    flowbook: Flowbook
    intake: Intake
    runner: Runner
    finisher: FileFinisher
    keeper: FileKeeper
    door: Door
    dispatcher: Dispatcher
    clients: list[ConwpClient]

    async def set_settings(self, settings: Settings) -> None:
        """Take over what a changed config says of accounts, zone and locale; what needs a restart is the caller's to say."""
        self.settings = settings
        accounts = make_accounts(settings, self.clock)
        self.clients += [account.client for account in accounts.values() if account.client is not None]
        await self.dispatcher.set_accounts(accounts)
        self.flowbook.set_defaults(flow_defaults(settings))


async def open_engine(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Engine:
    """Take the data folder's lock, open the store, and start runs and dispatch; `stack` closes all of it, in reverse.

    Raises AlreadyRunning, StoreBroken. No trigger is live yet and no flow is loaded.
    """
    stack.enter_context(data_lock(settings.data))
    store = await open_sqlite(settings.data / DATABASE)
    stack.push_async_callback(store.close)
    ids = Ids()
    jitter = random.SystemRandom().random
    holder = f"{os.getpid()}-{secrets.token_hex(4)}"

    accounts = make_accounts(settings, clock)
    clients = [account.client for account in accounts.values() if account.client is not None]
    stack.push_async_callback(_close_clients, clients)
    door = Door(store, accounts, clock=clock, ids=ids, jitter=jitter)
    dispatcher = Dispatcher(store, door, accounts, clock=clock, holder=holder, jitter=jitter)

    flowbook = Flowbook(settings.flows, settings.root, flow_defaults(settings), store, clock)
    keeper = FileKeeper(settings.data)
    finisher = FileFinisher(store, keeper, flowbook)

    async def pending() -> int:
        return await store.read(pending_count)

    async def versions(flow: str, hash_: str) -> Flow:
        return await _version(store, flowbook, flow, hash_)

    runner = Runner(
        store,
        clock,
        ids,
        versions=versions,
        rows=TableReader(settings.data),
        pending=pending,
        on_messages=dispatcher.wake,
        on_ended=finisher.ended,
    )
    intake = Intake(
        store,
        clock,
        ids,
        on_messages=dispatcher.wake,
        on_unfinished=runner.hint,
        on_ended=finisher.ended,
    )
    return Engine(settings, clock, ids, store, flowbook, intake, runner, finisher, keeper, door, dispatcher, clients)


async def start_engine(stack: AsyncExitStack, engine: Engine) -> None:
    """Start runs and dispatch; on the way out the intake closes first, so that nothing new comes while the rest ends."""
    await engine.dispatcher.start()
    stack.push_async_callback(engine.dispatcher.stop, _patience(engine.settings))
    finishing = asyncio.create_task(engine.finisher.run(), name="finisher")
    stack.push_async_callback(_ended, finishing)
    stack.callback(engine.finisher.stop)
    running = asyncio.create_task(engine.runner.run(), name="runner")
    stack.push_async_callback(_ended, running)
    stack.callback(engine.runner.stop)
    stack.push_async_callback(engine.intake.close)


def make_accounts(settings: Settings, clock: Clock) -> Mapping[str, Account]:
    """Build a client for each account that has a key, and see to it that no log shows the key."""
    accounts = {}
    for name, account in settings.accounts.items():
        client = None
        if account.api_key is not None:
            register_secret(account.api_key)
            client = ConwpClient(
                account.base_url,
                account.api_key,
                timeout=account.timeout,
                concurrency=account.concurrency,
                user_agent=f"conwp-bot/{__version__}",
                clock=clock,
            )
        accounts[name] = Account(account, client)
    return accounts


def flow_defaults(settings: Settings) -> FlowDefaults:
    """Return what a flow takes from the config when it does not say otherwise."""
    return FlowDefaults(settings.timezone, settings.locale, frozenset(settings.accounts))


async def _version(store: SqliteStore, flowbook: Flowbook, flow: str, hash_: str) -> Flow:
    """Return a flow as a run began with it: the live one if it still is the same, else built again from what was stored."""
    live = flowbook.flow_set.flows.get(flow)
    if live is not None and live.hash == hash_:
        return live
    stored = await store.read(catalog.version, hash_)
    if stored is None:
        raise ConwpBotError(f"the version of flow {flow} that the run began with is not stored any more")
    defaults = FlowDefaults(ZoneInfo(stored.timezone), stored.locale, None)
    built, problems = build_flow(stored.flow, stored.source, stored.file, defaults)
    if built is None:
        raise ConwpBotError(f"the version of flow {flow} that the run began with is not valid any more: {problems[0]}")
    return built


def _patience(settings: Settings) -> float:
    """Return how many seconds a stop waits for requests in flight: the longest that any of them may take."""
    return max(account.timeout.total_seconds() for account in settings.accounts.values()) + 5


async def _close_clients(clients: list[ConwpClient]) -> None:
    for client in clients:
        await client.aclose()


async def _ended(task: asyncio.Task[None]) -> None:
    await task
