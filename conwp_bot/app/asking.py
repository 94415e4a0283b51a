"""Asking the daemon, or doing without one: what a person can ask, and who answers.

The command line imports this. The engine itself, a second of imports, is loaded only where no daemon answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from conwp_bot.app.answers import Operations
from conwp_bot.app.control import connect
from conwp_bot.app.lock import data_lock
from conwp_bot.app.place import place_in_use
from conwp_bot.clock import SystemClock
from conwp_bot.settings import Settings


@asynccontextmanager
async def operations(settings: Settings) -> AsyncIterator[Operations]:
    """Ask the daemon if one runs for this config; else take its lock and do it here, dispatching until the block ends."""
    place = place_in_use(settings)
    remote = await connect(place.settings.data)
    if remote is not None:
        async with remote:
            yield remote
        return
    from conwp_bot.app.engine import open_engine, start_engine
    from conwp_bot.app.operations import EngineOperations

    async with AsyncExitStack() as stack:
        stack.enter_context(data_lock(place.settings.data))
        engine = await open_engine(stack, place.settings, SystemClock())
        await engine.flowbook.reload()
        await start_engine(stack, engine)
        yield EngineOperations(engine, daemon=False)
