"""`conwp-bot messages` and `message-info`: what became of what was to be sent, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conwp_bot.cli.database import one_beginning, read
from conwp_bot.cli.invocation import Invocation, common_options, pass_invocation
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
from conwp_bot.model.delivery import State

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from conwp_bot.store.reports import AttemptReport, MessageReport


@click.command()
@click.option("--flow", metavar="FLOW", help="Only this flow's.")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only those in this state.")
@click.option("--recipient", metavar="NUMBER", help="Only those to this number, in any usual spelling.")
@click.option("--run", "run_id", metavar="ID", help="Only this run's; the beginning of its id is enough.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects; times are ISO 8601 in UTC.")
@common_options
@pass_invocation
def messages(
    invocation: Invocation,
    flow: str | None,
    state: str | None,
    recipient: str | None,
    run_id: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List messages, the newest first: to whom, in which state, and why they are in it.

    A message that is due while its account or its flow waits shows that wait as its reason.
    """
    from conwp_bot.store.reports import MessageFilter, list_messages, runs_beginning

    settings = invocation.settings()
    now = SystemClock().now()
    wanted = MessageFilter(flow, state, None, _spellings(recipient))

    def query(conn: Any) -> list[MessageReport]:
        run = (
            one_beginning(runs_beginning(conn, with_prefix("run", run_id)), with_prefix("run", run_id), "run")
            if run_id
            else None
        )
        narrowed = MessageFilter(wanted.flow, wanted.state, run, wanted.recipients)
        return list_messages(conn, narrowed, limit=limit, now=now, zone=settings.timezone)

    nothing: list[MessageReport] = []
    found = read(settings, query, nothing)
    if as_json:
        say_json([message_as_json(message) for message in found])
        return
    if not found:
        say("no messages yet" if wanted == MessageFilter() and run_id is None else "no such messages")
        return
    show_messages(found, now, settings.timezone)
    if len(found) == limit:
        say(f"\nthe newest {limit}; --limit shows more")


@click.command("message-info")
@click.argument("message_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one object: the message, with its attempts as `requests`.")
@common_options
@pass_invocation
def message_info(invocation: Invocation, message_id: str, as_json: bool) -> None:
    """Tell what became of a message: its text, its state, and each attempt to send it. The beginning of ID is enough."""
    from conwp_bot.store.reports import attempts_of, messages_beginning, messages_by_id

    settings = invocation.settings()
    now, zone = SystemClock().now(), settings.timezone
    typed = with_prefix("msg", message_id)

    def query(conn: Any) -> tuple[MessageReport, list[AttemptReport]] | None:
        identity = one_beginning(messages_beginning(conn, typed), typed, "message")
        [message] = messages_by_id(conn, [identity], now=now, zone=zone)
        return message, attempts_of(conn, identity)

    found = read(settings, query, None)
    if found is None:
        one_beginning([], typed, "message")
        return
    message, attempts = found
    if as_json:
        requests = [
            {
                "request": attempt.request,
                "begun_at": instant_text(attempt.begun_at),
                "ended_at": instant_text(attempt.ended_at),
                "outcome": attempt.outcome,
                "detail": attempt.detail,
            }
            for attempt in attempts
        ]
        say_json({**message_as_json(message), "requests": requests})
        return
    _show_message(message, attempts, now, zone)


def message_as_json(message: MessageReport) -> dict[str, Any]:
    """Return a message as every command's `--json` gives it."""
    return {
        "id": message.id,
        "flow": message.flow,
        "run": message.run,
        "step": message.step,
        "recipient": message.recipient,
        "state": message.state,
        "reason": message.reason,
        "text": message.text,
        "type": message.type,
        "media_url": message.media_url,
        "class": message.klass,
        "account": message.account,
        "attempts": message.attempts,
        "created_at": instant_text(message.created_at),
        "accepted_at": instant_text(message.accepted_at),
        "expires_at": instant_text(message.expires_at),
        "not_before": instant_text(message.not_before),
        "provider_id": message.provider_id,
    }


def show_messages(found: list[MessageReport], now: datetime, zone: tzinfo) -> None:
    """Print messages as a table."""
    columns = [
        Column("id"),
        Column("created"),
        Column("flow"),
        Column("recipient"),
        Column("state", state=True),
        Column("text", prose=True),
        Column("reason", prose=True),
    ]
    say_table(
        columns,
        [
            [
                message.id,
                moment(message.created_at, now, zone),
                message.flow,
                message.recipient,
                message.state,
                shortened(message.text, 40),
                why(message, now, zone),
            ]
            for message in found
        ],
    )


def why(message: MessageReport, now: datetime, zone: tzinfo) -> str:
    """Return a message's reason, and when it is tried next if that is later."""
    reason = message.reason or ""
    if message.state == State.PENDING and message.not_before > now:
        later = f"not before {moment(message.not_before, now, zone)}"
        return f"{reason}; {later}" if reason else later
    return reason


def with_prefix(prefix: str, typed: str) -> str:
    """Complete what was typed of an id: its kind may be left out."""
    typed = typed.strip().lower()
    return typed if typed.startswith(prefix + "_") or prefix.startswith(typed) else f"{prefix}_{typed}"


def _spellings(recipient: str | None) -> tuple[str, ...]:
    """Return what may stand in the store for a number: parsed, and as it was written (when it was no valid number)."""
    if recipient is None:
        return ()
    from conwp_bot.errors import InvalidRecipient
    from conwp_bot.model.recipient import parse_recipient

    try:
        return (recipient, str(parse_recipient(recipient)))
    except InvalidRecipient:
        return (recipient,)


def _show_message(message: MessageReport, attempts: list[AttemptReport], now: datetime, zone: tzinfo) -> None:
    say(f"{message.id}  {state_text(message.state)}")
    say_facts(
        [
            ("to", message.recipient),
            ("flow", message.flow),
            ("run", message.run),
            ("account", f"{message.account} ({message.klass})"),
            ("reason", why(message, now, zone) or None),
            ("created", moment(message.created_at, now, zone)),
            ("accepted", moment(message.accepted_at, now, zone) if message.accepted_at else None),
            ("expires", moment(message.expires_at, now, zone) if message.state == State.PENDING else None),
            ("id at ConWP", message.provider_id),
            ("media", f"{message.type} {message.media_url}" if message.media_url else None),
        ]
    )
    say("text")
    say_block(message.text)
    if attempts:
        say("attempts")
        columns = [Column("begun"), Column("ended"), Column("outcome"), Column("detail", prose=True), Column("request")]
        rows = [
            [
                moment(attempt.begun_at, now, zone),
                moment(attempt.ended_at, now, zone),
                attempt.outcome or "in flight",
                attempt.detail or "",
                attempt.request,
            ]
            for attempt in attempts
        ]
        say_table(columns, rows)
    else:
        say("no attempts yet")
