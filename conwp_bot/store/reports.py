"""What the database tells a person: messages and runs, each with its reason. Only reading; no unit here writes.

Made for a reader beside a running daemon: each query is one consistent look, and none takes longer for what is long past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.engine import Connection, Row

from conwp_bot.model.delivery import State
from conwp_bot.model.event import Event
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import TraceEntry
from conwp_bot.store import outbox
from conwp_bot.store.records import event_from, trace_from
from conwp_bot.store.schema import attempts, events, messages, rejects, runs

REJECTS = 20
"""How many rejected rows `run_details` brings along; all of them stand beside the archived file."""


@dataclass(frozen=True, slots=True)
class MessageReport:
    """A message and its delivery. `reason` of a due message whose account or flow waits is that wait; `attempts` counts requests."""

    id: str
    flow: str
    run: str
    step: str
    recipient: str
    state: str
    reason: str | None
    text: str
    type: str
    media_url: str | None
    klass: str
    account: str
    attempts: int
    created_at: datetime
    accepted_at: datetime | None
    expires_at: datetime
    not_before: datetime
    provider_id: str | None


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One message's share of one request."""

    request: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run with what fired it."""

    id: str
    flow: str
    event: str
    trigger: str
    kind: str
    state: str
    reason: str | None
    started_at: datetime
    ended_at: datetime | None
    messages: int
    rejected: int


@dataclass(frozen=True, slots=True)
class RunDetails:
    """All that answers "why?" about a run; of `rejects` only the first ones, `run.rejected` counts them all."""

    run: RunReport
    event: Event
    trace: tuple[TraceEntry, ...]
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages; None and empty mean any. `recipients` are alternative spellings of one recipient."""

    flow: str | None = None
    state: str | None = None
    run: str | None = None
    recipients: tuple[str, ...] = ()


def list_messages(
    conn: Connection, wanted: MessageFilter, *, limit: int, now: datetime, zone: tzinfo
) -> list[MessageReport]:
    """Return the newest messages, the newest first; `zone` is for the times in reasons."""
    query = _MESSAGES.order_by(messages.c.id.desc()).limit(limit)
    if wanted.flow is not None:
        query = query.where(messages.c.flow == wanted.flow)
    if wanted.run is not None:
        query = query.where(messages.c.run == wanted.run)
    if wanted.recipients:
        query = query.where(messages.c.recipient.in_(wanted.recipients))
    if wanted.state is not None:
        # Written into the statement, so that the index over pending messages can serve it; never anything but one of our states.
        query = query.where(messages.c.state == literal_column(f"'{State(wanted.state).value}'"))
    return _message_reports(conn, query, now, zone)


def messages_by_id(conn: Connection, ids: Sequence[str], *, now: datetime, zone: tzinfo) -> list[MessageReport]:
    """Return these messages in the order of their ids; what is not there is left out."""
    found: list[MessageReport] = []
    for start in range(0, len(ids), 500):
        found += _message_reports(conn, _MESSAGES.where(messages.c.id.in_(ids[start : start + 500])), now, zone)
    return sorted(found, key=lambda message: message.id)


def message_states(conn: Connection, run: str) -> dict[str, int]:
    """Return how many messages of a run stand in each state."""
    query = select(messages.c.state, func.count()).where(messages.c.run == run).group_by(messages.c.state)
    return {row[0]: row[1] for row in conn.execute(query)}


def attempts_of(conn: Connection, message: str) -> list[AttemptReport]:
    """Return a message's attempts, oldest first."""
    query = select(
        attempts.c.request, attempts.c.begun_at, attempts.c.ended_at, attempts.c.outcome, attempts.c.detail
    ).where(attempts.c.message == message)
    return [AttemptReport(*row) for row in conn.execute(query.order_by(attempts.c.begun_at, attempts.c.request))]


def list_runs(conn: Connection, *, flow: str | None, state: str | None, limit: int) -> list[RunReport]:
    """Return the newest runs, the newest first."""
    query = _RUNS.order_by(runs.c.id.desc()).limit(limit)
    if flow is not None:
        query = query.where(runs.c.flow == flow)
    if state is not None:
        query = query.where(runs.c.state == state)
    return [_run_report(row) for row in conn.execute(query)]


def run_report(conn: Connection, run: str) -> RunReport | None:
    """Return one run, or None."""
    row = conn.execute(_RUNS.where(runs.c.id == run)).first()
    return None if row is None else _run_report(row)


def run_details(conn: Connection, run: str) -> RunDetails | None:
    """Return a run with its event, trace and first rejected rows, or None."""
    row = conn.execute(_RUNS.add_columns(runs.c.trace, *_EVENT).where(runs.c.id == run)).first()
    if row is None:
        return None
    query = select(rejects.c.number, rejects.c.reason, rejects.c.raw).where(rejects.c.run == run)
    first = conn.execute(query.order_by(rejects.c.number).limit(REJECTS))
    return RunDetails(
        _run_report(row), event_from(row, row.event), trace_from(row.trace), tuple(Reject(*each) for each in first)
    )


def runs_beginning(conn: Connection, prefix: str, limit: int = 5) -> list[str]:
    """Return the ids of runs that begin so: a person types the beginning of one."""
    return _beginning(conn, runs.c.id, prefix, limit)


def messages_beginning(conn: Connection, prefix: str, limit: int = 5) -> list[str]:
    """Return the ids of messages that begin so."""
    return _beginning(conn, messages.c.id, prefix, limit)


def wait_sentence(wait: outbox.StoredWait, now: datetime, zone: tzinfo) -> str:
    """Say why an account or a flow waits and until when, on a clock of `zone`, whole minutes rounded up."""
    until = _on_the_clock(wait.until, now, zone)
    match wait.scope, wait.because:
        case "account", "budget":
            return f"budget of {wait.name} is used up until {until}"
        case "flow", "flow limit":
            return f"limit of {wait.name} is used up until {until}"
        case _:
            return f"{wait.scope} {wait.name} waits until {until}: {wait.detail or wait.because}"


def _on_the_clock(instant: datetime, now: datetime, zone: tzinfo) -> str:
    local = (instant + timedelta(minutes=1, microseconds=-1)).astimezone(zone)
    same_day = local.date() == now.astimezone(zone).date()
    return local.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")


def _message_reports(conn: Connection, query: Select[Any], now: datetime, zone: tzinfo) -> list[MessageReport]:
    waits = {(wait.scope, wait.name): wait for wait in outbox.all_waits(conn) if wait.until > now}
    return [_message_report(row, waits, now, zone) for row in conn.execute(query)]


def _message_report(
    row: Row[Any], waits: Mapping[tuple[str, str], outbox.StoredWait], now: datetime, zone: tzinfo
) -> MessageReport:
    reason = row.reason
    if row.state == State.PENDING and row.not_before <= now:
        wait = waits.get(("account", row.account)) or waits.get(("flow", row.flow))
        reason = wait_sentence(wait, now, zone) if wait else reason
    return MessageReport(
        id=row.id,
        flow=row.flow,
        run=row.run,
        step=row.step,
        recipient=row.recipient,
        state=row.state,
        reason=reason,
        text=row.text,
        type=row.kind,
        media_url=row.media_url,
        klass=row.klass,
        account=row.account,
        attempts=row.attempts_made,
        created_at=row.created_at,
        accepted_at=row.accepted_at,
        expires_at=row.expires_at,
        not_before=row.not_before,
        provider_id=row.provider_id,
    )


def _run_report(row: Any) -> RunReport:
    return RunReport(
        id=row.id,
        flow=row.flow,
        event=row.event,
        trigger=row.trigger,
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        started_at=row.started_at,
        ended_at=row.ended_at,
        messages=row.messages,
        rejected=row.rejected,
    )


def _beginning(conn: Connection, column: Any, prefix: str, limit: int) -> list[str]:
    query = select(column).where(column >= prefix, column < prefix + "\x7f").order_by(column).limit(limit)
    return list(conn.execute(query).scalars())


_MESSAGES = select(
    messages,
    select(func.count())
    .select_from(attempts)
    .where(attempts.c.message == messages.c.id)
    .scalar_subquery()
    .label("attempts_made"),
)
_EVENT = (events.c.kind, events.c.key, events.c.occurred_at, events.c.data)
_RUNS = select(
    runs.c.id,
    runs.c.flow,
    runs.c.event,
    runs.c.state,
    runs.c.reason,
    runs.c.started_at,
    runs.c.ended_at,
    runs.c.messages,
    runs.c.rejected,
    events.c.trigger,
    events.c.kind,
).join_from(runs, events, runs.c.event == events.c.id)
