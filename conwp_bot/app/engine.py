"""Store, runs and dispatch, built and running: what the daemon has in common with a command that works without one."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from zoneinfo import ZoneInfo

from conwp_bot import __version__
from conwp_bot.api.client import ConwpClient
from conwp_bot.app.finishing import FileFinisher
from conwp_bot.app.flowbook import Flowbook
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
from conwp_bot.settings import AccountSettings, Settings
from conwp_bot.store import catalog
from conwp_bot.store.migrate import open_sqlite
from conwp_bot.store.records import pending_count
from conwp_bot.store.sqlite import SqliteStore
from conwp_bot.telemetry import register_secret
from conwp_bot.triggers.keeper import FileKeeper
from conwp_bot.triggers.tables import TableReader

log = logging.getLogger(__name__)

DATABASE = "conwp-bot.db"

RESTART_KEYS = ("data", "web", "flows", "contacts")
"""What of the config is only read at the start."""


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
    accounts: Mapping[str, Account]
    retired: list[ConwpClient] = field(default_factory=list)
    """Clients of accounts as they were before a reload: requests may still be under way on them, so they are closed at the end."""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    """What works until the stop: one of them that ends before is a fault of ours."""

    async def set_settings(self, settings: Settings) -> None:
        """Take over what a changed config says of accounts, zone, locale, log and retention; what `RESTART_KEYS` name stays as it is."""
        settings = replace(settings, **{key: getattr(self.settings, key) for key in RESTART_KEYS})
        accounts = dict(make_accounts(settings, self.clock, self.accounts))
        for name, before in self.accounts.items():
            after = accounts.get(name)
            if before.client is not None and (after is None or after.client is not before.client):
                self.retired.append(before.client)
            if after is None:
                # Its messages wait, as they will after a restart: without a key nothing is sent.
                log.warning("account %s is gone from the config; its messages wait", name, extra={"account": name})
                accounts[name] = Account(replace(before.settings, api_key=None), None)
        self.settings = settings
        self.accounts = accounts
        await self.dispatcher.set_accounts(accounts)
        self.flowbook.set_defaults(flow_defaults(settings))

    async def close_clients(self) -> None:
        """Close every connection to ConWP; no request may be under way any more."""
        current = [account.client for account in self.accounts.values() if account.client is not None]
        for client in [*self.retired, *current]:
            await client.aclose()


async def open_engine(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Engine:
    """Open the store and build runs and dispatch; `stack` closes all of it, in reverse. The caller holds the data folder's lock.

    Raises StoreBroken. No trigger is live yet, no flow is loaded, and nothing works before `start_engine`.
    """
    store = await open_sqlite(settings.data / DATABASE)
    stack.push_async_callback(store.close)
    ids = Ids()
    jitter = random.SystemRandom().random
    holder = f"{os.getpid()}-{secrets.token_hex(4)}"

    accounts = make_accounts(settings, clock)
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
    engine = Engine(settings, clock, ids, store, flowbook, intake, runner, finisher, keeper, door, dispatcher, accounts)
    stack.push_async_callback(engine.close_clients)
    return engine


async def start_engine(stack: AsyncExitStack, engine: Engine) -> None:
    """Start runs and dispatch; on the way out the intake closes first, so that nothing new comes while the rest ends."""
    await engine.dispatcher.start()
    stack.push_async_callback(_stop_dispatcher, engine)
    finishing = asyncio.create_task(engine.finisher.run(), name="finisher")
    stack.push_async_callback(ended, finishing)
    stack.callback(engine.finisher.stop)
    running = asyncio.create_task(engine.runner.run(), name="runner")
    stack.push_async_callback(ended, running)
    stack.callback(engine.runner.stop)
    stack.push_async_callback(engine.intake.close)
    engine.tasks += [finishing, running]


def make_accounts(
    settings: Settings, clock: Clock, before: Mapping[str, Account] = MappingProxyType({})
) -> Mapping[str, Account]:
    """Build a client for each account that has a key, and see to it that no log shows the key; one of `before` that fits is kept."""
    accounts = {}
    for name, account in settings.accounts.items():
        client = None
        old = before.get(name)
        if old is not None and _same_client(old.settings, account):
            client = old.client
        elif account.api_key is not None:
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


def _same_client(one: AccountSettings, other: AccountSettings) -> bool:
    return (one.base_url, one.api_key, one.timeout, one.concurrency) == (
        other.base_url,
        other.api_key,
        other.timeout,
        other.concurrency,
    )


async def _stop_dispatcher(engine: Engine) -> None:
    if not await engine.dispatcher.stop(patience(engine.settings)):
        log.warning("requests were still in flight; the next start will call their messages unknown")


def patience(settings: Settings) -> float:
    """Return how many seconds a stop waits for requests in flight: the longest that any of them may take."""
    return max(account.timeout.total_seconds() for account in settings.accounts.values()) + 5


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for a task that was asked to end. What it failed of is told by who watches it; here the rest has to be stopped in order."""
    await asyncio.gather(task, return_exceptions=True)
