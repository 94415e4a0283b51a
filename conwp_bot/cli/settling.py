"""Watching a run's messages until each has been to the API, or time is up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conwp_bot.cli.database import reading
from conwp_bot.cli.messages import message_as_json, why
from conwp_bot.cli.output import say, shortened, state_text
from conwp_bot.clock import SystemClock
from conwp_bot.model.run import RunState

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from sqlalchemy.engine import Connection

    from conwp_bot.app.answers import Fired
    from conwp_bot.store.reports import MessageReport, RunReport

UNSETTLED = frozenset({"pending", "claimed", "in_flight"})
GOOD = frozenset({"accepted", *UNSETTLED})
MOST = 20
POLL = 0.1


async def settled(data: Path, run: str, seconds: float) -> None:
    """Return once the run has ended and none of its messages waits to be sent, or after `seconds`."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        if not await asyncio.to_thread(_moving, data, run):
            return
        await asyncio.sleep(POLL)


def tell(data: Path, fired: Fired, zone: tzinfo, *, as_json: bool, waited: bool) -> int:
    """Print what became of a run and its messages; returns the exit code: 1 when any of it went wrong."""
    now = SystemClock().now()
    run, made, states = _look(data, fired.run, zone, now, 10_000 if as_json else MOST)
    state, reason = (run.state, run.reason or fired.reason) if run else (fired.state, fired.reason)
    if as_json:
        from conwp_bot.cli.output import say_json

        listed = [message_as_json(message) for message in made]
        rejected = run.rejected if run else 0
        answer = {"event": fired.event, "run": fired.run, "state": state, "reason": reason, "rejected": rejected}
        say_json({**answer, "messages": listed})
    else:
        _say(fired.run, state, reason, made, states, now, zone, waited=waited)
        if run and run.rejected:
            say(f"  rejected rows: {run.rejected:,}; `conwp-bot run-info {fired.run}` tells why")
    return 1 if state == RunState.FAILED or states.keys() - GOOD or (run and run.rejected) else 0


def _say(
    run: str,
    state: str,
    reason: str | None,
    made: list[MessageReport],
    states: dict[str, int],
    now: datetime,
    zone: tzinfo,
    *,
    waited: bool,
) -> None:
    say(f"run {run}: {state_text(state)}" + (f": {shortened(reason, 200)}" if reason else ""))
    for message in made:
        because = why(message, now, zone)
        line = f"  {message.recipient}  {state_text(message.state)}" + (f": {because}" if because else "")
        say(f"{line}  ({shortened(message.text, 50)})")
    total = sum(states.values())
    if not total:
        say("  no messages")
    elif total > len(made):
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(states.items()))
        say(f"  … {total:,} messages: {counts}")
    if waited and states.keys() & UNSETTLED:
        say(f"  what is pending is kept and sent when it can be: `conwp-bot messages --run {run}`")


def _moving(data: Path, run: str) -> bool:
    from conwp_bot.store.reports import message_states, run_report

    with reading(data) as connection:
        if connection is None:
            return False
        report = run_report(connection, run)
        if report is None or report.state == RunState.RUNNING:
            return True
        return bool(message_states(connection, run).keys() & UNSETTLED)


def _look(
    data: Path, run: str, zone: tzinfo, now: datetime, most: int
) -> tuple[RunReport | None, list[MessageReport], dict[str, int]]:
    from conwp_bot.store.reports import MessageFilter, list_messages, message_states, run_report

    def query(conn: Connection) -> Any:
        made = list_messages(conn, MessageFilter(run=run), limit=most, now=now, zone=zone)
        return run_report(conn, run), list(reversed(made)), message_states(conn, run)

    with reading(data) as connection:
        if connection is None:
            return None, [], {}
        found: tuple[RunReport | None, list[MessageReport], dict[str, int]] = query(connection)
        return found
