"""`conwp-bot flows`: which flows are live, when they fire next, and what they spent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from conwp_bot.cli.database import data_folder, reading
from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.output import Column, instant_text, moment, say, say_json, say_table
from conwp_bot.clock import SystemClock
from conwp_bot.model.budget import Limit

if TYPE_CHECKING:
    from conwp_bot.settings import Settings
    from conwp_bot.store.books import FlowAccount


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; times are ISO 8601 in UTC.")
@common_options
@pass_invocation
def flows(invocation: Invocation, as_json: bool) -> None:
    """List flows: their state, what fires them and when next, and what they spent in the last 60 minutes and today.

    `broken` runs on in its last good version, `off` has none, `gone` is deleted and has messages waiting or sent today; `_send` is
    what `conwp-bot send` made. A request that several messages shared counts for each flow by its share.
    """
    settings = invocation.settings()
    now = SystemClock().now()
    data = data_folder(settings)
    found, by_daemon = asyncio.run(_statuses(settings, data, now))
    books, used = _books(settings, data, found, now)
    found += _others(books, {flow["id"] for flow in found})
    if as_json:
        say_json([_as_json(each, books, used) for each in found])
        return
    if not found:
        say(f"no flows in {settings.flows} yet")
        return
    _show(found, books, used, now)
    if not by_daemon:
        say("\nno daemon is running: nothing fires until `conwp-bot run`")


async def _statuses(settings: Settings, data: Path, now: datetime) -> tuple[list[dict[str, Any]], bool]:
    """Return what the daemon says of its flows, or without one what the files say; and which of the two."""
    from conwp_bot.app.control import connect

    remote = await connect(data)
    if remote is not None:
        async with remote:
            return await remote.flows(), True
    return local_statuses(settings, now), False


def local_statuses(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Return what the files say of the flows, in the form in which a daemon says it; nothing is opened, nothing started."""
    from conwp_bot.app.engine import flow_defaults
    from conwp_bot.app.operations import describe_flows
    from conwp_bot.flows.flow import CronTrigger
    from conwp_bot.flows.load import FlowLoader
    from conwp_bot.triggers.schedule import next_slot

    result = FlowLoader(settings.flows, flow_defaults(settings), root=Path.cwd()).load()
    slots = {
        (flow.id, trigger.id): slot
        for flow in result.flow_set.flows.values()
        for trigger in flow.triggers
        if isinstance(trigger, CronTrigger) and (slot := next_slot(trigger, now)) is not None
    }
    problems = [problem.as_json() for problem in result.problems]
    return describe_flows(result.flow_set, result.broken, problems, slots)


def _books(
    settings: Settings, data: Path, found: list[dict[str, Any]], now: datetime
) -> tuple[Mapping[str, FlowAccount], Mapping[str, int]]:
    from conwp_bot.store.books import flow_accounts, limit_used

    limits = {each["id"]: Limit.parse(each["limit"]) for each in found if each["limit"]}
    with reading(data) as connection:
        if connection is None:
            return {}, {}
        return flow_accounts(connection, now=now, zone=settings.timezone), limit_used(connection, limits, now=now)


def _others(books: Mapping[str, FlowAccount], known: set[str]) -> list[dict[str, Any]]:
    """Return entries for what spent or waits without being a flow any more: nothing that the budget paid for is left out."""
    from conwp_bot.app.manual import DIRECT

    return [
        {
            "id": name,
            "state": "direct" if name == DIRECT else "gone",
            "file": None,
            "description": "messages of `conwp-bot send`" if name == DIRECT else "",
            "timezone": None,
            "class": None,
            "account": None,
            "limit": None,
            "triggers": [],
            "problems": [],
        }
        for name, account in books.items()
        if name not in known and (account.waiting or account.requests_hour or account.requests_today)
    ]


def _as_json(flow: dict[str, Any], books: Mapping[str, FlowAccount], used: Mapping[str, int]) -> dict[str, Any]:
    from conwp_bot.store.books import FlowAccount

    account = books.get(flow["id"], FlowAccount())
    return {
        "id": flow["id"],
        "state": flow["state"],
        "file": flow["file"],
        "description": flow["description"],
        "triggers": [{**trigger, "next": instant_text(_instant(trigger["next"]))} for trigger in flow["triggers"]],
        "class": flow["class"],
        "account": flow["account"],
        "limit": flow["limit"],
        "limit_used": used.get(flow["id"], 0) if flow["limit"] else None,
        "requests_hour": account.requests_hour,
        "requests_today": account.requests_today,
        "messages_hour": account.messages_hour,
        "messages_today": account.messages_today,
        "refused_hour": account.refused_hour,
        "refused_today": account.refused_today,
        "waiting": account.waiting,
        "problems": flow["problems"],
    }


def _show(
    found: list[dict[str, Any]], books: Mapping[str, FlowAccount], used: Mapping[str, int], now: datetime
) -> None:
    from conwp_bot.store.books import FlowAccount

    columns = [
        Column("flow"),
        Column("state", state=True),
        Column("triggers", prose=True),
        Column("next"),
        Column("requests", right=True),
        Column("messages", right=True),
        Column("refused", right=True),
        Column("limit", right=True),
        Column("waiting", right=True),
    ]
    rows = []
    for flow in found:
        account = books.get(flow["id"], FlowAccount())
        rows.append(
            [
                flow["id"],
                flow["state"],
                ", ".join(f"{trigger['kind']} {trigger['spec']}" for trigger in flow["triggers"]) or "by hand",
                _next(flow, now),
                f"{account.requests_hour:,.4g} / {account.requests_today:,.4g}",
                f"{account.messages_hour:,} / {account.messages_today:,}",
                f"{account.refused_hour:,} / {account.refused_today:,}",
                f"{used.get(flow['id'], 0):,} of {flow['limit']}" if flow["limit"] else "-",
                f"{account.waiting:,}",
            ]
        )
    say_table(columns, rows)
    say("\nrequests, messages and refused: last 60 minutes / today")
    troubled = [flow["id"] for flow in found if flow["problems"]]
    if troubled:
        say(f"problems in {', '.join(troubled)}: `conwp-bot check` tells them")


def _next(flow: dict[str, Any], now: datetime) -> str:
    """Return the flow's next slot on the clock of its own zone."""
    slots = [instant for trigger in flow["triggers"] if (instant := _instant(trigger["next"])) is not None]
    zone = ZoneInfo(flow["timezone"]) if flow.get("timezone") else now.tzinfo
    assert zone is not None
    return moment(min(slots, default=None), now, zone)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
