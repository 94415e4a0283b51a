"""`conwp-bot runs` and `run-info`: what flows did, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from conwp_bot.cli.database import one_beginning, read
from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
from conwp_bot.cli.messages import message_as_json, show_messages, with_prefix
from conwp_bot.cli.output import (
    Column,
    instant_text,
    moment,
    say,
    say_block,
    say_facts,
    say_json,
    say_table,
    shortened,
    state_text,
)
from conwp_bot.clock import SystemClock
from conwp_bot.model.run import RunState

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from conwp_bot.store.reports import MessageReport, RunDetails, RunReport

MOST_MESSAGES = 20
DATA_SHOWN = 2000


@click.command()
@click.option("--flow", metavar="FLOW", help="Only this flow's.")
@click.option("--state", type=click.Choice([state.value for state in RunState]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; times are ISO 8601 in UTC.")
@common_options
@pass_invocation
def runs(invocation: Invocation, flow: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first: what fired them, what they made, and why they ended as they did."""
    from conwp_bot.store.reports import list_runs

    settings = invocation.settings()
    now, zone = SystemClock().now(), settings.timezone
    nothing: list[RunReport] = []
    found = read(settings, lambda conn: list_runs(conn, flow=flow, state=state, limit=limit), nothing)
    if as_json:
        say_json([run_as_json(run) for run in found])
        return
    if not found:
        say("no runs yet" if flow is None and state is None else "no such runs")
        return
    columns = [
        Column("id"),
        Column("started"),
        Column("flow"),
        Column("trigger"),
        Column("state", state=True),
        Column("messages", right=True),
        Column("rejected", right=True),
        Column("reason", prose=True),
    ]
    rows = [
        [
            run.id,
            moment(run.started_at, now, zone),
            run.flow,
            run.trigger,
            run.state,
            f"{run.messages:,}",
            f"{run.rejected:,}",
            shortened(run.reason or "", 100),
        ]
        for run in found
    ]
    say_table(columns, rows)
    if len(found) == limit:
        say(f"\nthe newest {limit}; --limit shows more")


@click.command("run-info")
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one object: the run with its event, trace and messages.")
@common_options
@pass_invocation
def run_info(invocation: Invocation, run_id: str, as_json: bool) -> None:
    """Tell what a run did: the event that fired it, each step, and the messages it made. The beginning of ID is enough."""
    from conwp_bot.store.reports import MessageFilter, list_messages, run_details, runs_beginning

    settings = invocation.settings()
    now, zone = SystemClock().now(), settings.timezone
    typed = with_prefix("run", run_id)
    most = 10_000 if as_json else MOST_MESSAGES

    def query(conn: Any) -> tuple[RunDetails, list[MessageReport]] | None:
        identity = one_beginning(runs_beginning(conn, typed), typed, "run")
        details = run_details(conn, identity)
        made = list_messages(conn, MessageFilter(run=identity), limit=most, now=now, zone=zone)
        return None if details is None else (details, made)

    found = read(settings, query, None)
    if found is None:
        one_beginning([], typed, "run")
        return
    details, made = found
    if as_json:
        say_json(_details_as_json(details, made))
    else:
        _show_details(details, made, now, zone)


def run_as_json(run: RunReport) -> dict[str, Any]:
    """Return a run as every command's `--json` gives it; `messages` and `rejected` are counts."""
    return {
        "id": run.id,
        "flow": run.flow,
        "event": run.event,
        "trigger": run.trigger,
        "kind": run.kind,
        "state": run.state,
        "reason": run.reason,
        "started_at": instant_text(run.started_at),
        "ended_at": instant_text(run.ended_at),
        "messages": run.messages,
        "rejected": run.rejected,
    }


def _details_as_json(details: RunDetails, made: list[MessageReport]) -> dict[str, Any]:
    event = details.event
    return {
        **run_as_json(details.run),
        "event": {
            "id": event.id,
            "kind": event.kind.value,
            "trigger": event.trigger,
            "key": event.key,
            "occurred_at": instant_text(event.occurred_at),
            "data": json.loads(json.dumps(event.data, default=str)),
        },
        "trace": [
            {
                "at": instant_text(entry.at),
                "step": entry.step,
                "did": entry.did,
                "detail": entry.detail,
                "item": entry.item,
            }
            for entry in details.trace
        ],
        "rejects": [{"number": each.number, "reason": each.reason, "raw": each.raw} for each in details.rejects],
        "messages_made": [message_as_json(message) for message in reversed(made)],
    }


def _show_details(details: RunDetails, made: list[MessageReport], now: datetime, zone: tzinfo) -> None:
    run, event = details.run, details.event
    trigger = event.trigger if event.trigger == event.kind else f"{event.trigger} ({event.kind.value})"
    say(f"{run.id}  {state_text(run.state)}")
    say_facts(
        [
            ("flow", run.flow),
            ("fired by", f"{trigger} at {moment(event.occurred_at, now, zone)}"),
            ("event", event.id),
            ("key", event.key),
            ("started", moment(run.started_at, now, zone)),
            ("ended", moment(run.ended_at, now, zone) if run.ended_at else None),
            ("reason", run.reason),
            ("messages", f"{run.messages:,}"),
            ("rejected", f"{run.rejected:,} rows" if run.rejected else None),
        ]
    )
    if event.data:
        say("event")
        text = json.dumps(event.data, ensure_ascii=False, indent=2, default=str)
        say_block(text if len(text) <= DATA_SHOWN else text[:DATA_SHOWN] + "\n… (--json shows all of it)")
    if details.trace:
        say("steps")
        columns = [
            Column("at"),
            Column("step"),
            Column("item", right=True),
            Column("did"),
            Column("detail", prose=True),
        ]
        rows = [
            [
                moment(entry.at, now, zone),
                entry.step,
                "" if entry.item is None else str(entry.item),
                entry.did,
                entry.detail,
            ]
            for entry in details.trace
        ]
        say_table(columns, rows)
    if details.rejects:
        say("rejected rows")
        rows = [[str(each.number), each.reason, shortened(each.raw, 60)] for each in details.rejects]
        say_table(
            [Column("row", right=True), Column("reason", prose=True), Column("what stood there", prose=True)], rows
        )
        if run.rejected > len(details.rejects):
            say(f"    … {run.rejected - len(details.rejects):,} more stand beside the archived file")
    if made:
        say("messages")
        show_messages(list(reversed(made)), now, zone)
        if run.messages > len(made):
            say(f"    … `conwp-bot messages --run {run.id} --limit {run.messages}` shows all {run.messages:,}")
