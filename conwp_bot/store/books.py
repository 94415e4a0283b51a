"""The books: what each flow has spent and sent, and what is left of each account's budget. Only reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import bindparam, func, literal_column, or_, select
from sqlalchemy.engine import Connection

from conwp_bot.model.budget import Limit
from conwp_bot.store import ledger, outbox
from conwp_bot.store.schema import Instant, attempts, messages, requests

HOUR = timedelta(minutes=60)
BACKLOG_CAP = 1_000_000
REFUSALS = ("limited", "refused", "invalid", "failed")


@dataclass(frozen=True, slots=True)
class FlowAccount:
    """A flow's books: `requests` are its shares of requests, `messages` those accepted, `refused` those answered with a no.

    An hour is the last 60 minutes, today began at midnight in the zone that was asked for; a request counts by its end.
    """

    requests_hour: float = 0.0
    requests_today: float = 0.0
    messages_hour: int = 0
    messages_today: int = 0
    refused_hour: int = 0
    refused_today: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """An account's budget: `used` of `usable` within the limit's span, when the next slot frees, what is due, and why it waits."""

    account: str
    limit: Limit
    usable: int
    used: int
    frees_at: datetime | None
    waiting: outbox.StoredWait | None
    backlog: int
    pending: int
    requests_hour: int

    @property
    def left(self) -> int:
        """How many requests may begin now."""
        return max(0, self.usable - self.used)


def flow_accounts(conn: Connection, *, now: datetime, zone: tzinfo) -> dict[str, FlowAccount]:
    """Return the books of every flow that ever made a message, by its id; "today" is that of `zone`."""
    local = now.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = now - HOUR
    waiting = {row[0]: row[1] for row in conn.execute(_WAITING)}
    books: dict[str, FlowAccount] = {}
    for flow in _flows_with_messages(conn):
        values = {"flow": flow, "since": min(hour, midnight), "hour": hour, "today": midnight}
        row = conn.execute(_FLOW_BOOKS, values).one()
        books[flow] = FlowAccount(
            requests_hour=round(row.requests_hour or 0.0, 3),
            requests_today=round(row.requests_today or 0.0, 3),
            messages_hour=row.messages_hour or 0,
            messages_today=row.messages_today or 0,
            refused_hour=row.refused_hour or 0,
            refused_today=row.refused_today or 0,
            waiting=waiting.get(flow, 0),
        )
    return books


def limit_used(conn: Connection, limits: Mapping[str, Limit], *, now: datetime) -> dict[str, int]:
    """Return how many messages each of these flows began within the span of its own limit."""
    return {flow: ledger.flow_usage(conn, flow, limit, now).used for flow, limit in limits.items()}


def account_budgets(
    conn: Connection, accounts: Sequence[tuple[str, Limit, Limit]], *, now: datetime
) -> list[BudgetReport]:
    """Return the budget of each account, given as its name, its limit, and what of that is used (less a margin)."""
    waits = {wait.name: wait for wait in outbox.all_waits(conn) if wait.scope == "account" and wait.until > now}
    pending = {row[0]: row[1] for row in conn.execute(_PENDING_OF_ACCOUNTS)}
    return [
        BudgetReport(
            account=name,
            limit=limit,
            usable=usable.count,
            used=(usage := ledger.account_usage(conn, name, usable, now)).used,
            frees_at=usage.frees_at or _next_slot(conn, name, usable, now),
            waiting=waits.get(name),
            backlog=outbox.backlog(conn, name, now, BACKLOG_CAP) if pending.get(name) else 0,
            pending=pending.get(name, 0),
            requests_hour=conn.execute(_REQUESTS_SINCE, {"account": name, "since": now - HOUR}).scalar_one(),
        )
        for name, limit, usable in accounts
    ]


def _flows_with_messages(conn: Connection) -> list[str]:
    """Walk over the index: cost per flow, not per message."""
    found: list[str] = []
    while flow := conn.execute(_NEXT_FLOW, {"last": found[-1] if found else ""}).scalar():
        found.append(flow)
    return found


def _next_slot(conn: Connection, account: str, limit: Limit, now: datetime) -> datetime | None:
    end: datetime | None = conn.execute(_FIRST_END, {"account": account, "since": now - limit.span}).scalar()
    return None if end is None else end + limit.span


_NEXT_FLOW = select(func.min(messages.c.flow)).where(messages.c.flow > bindparam("last"))
_IS_PENDING = messages.c.state == literal_column("'pending'")
_WAITING = select(messages.c.flow, func.count()).where(_IS_PENDING).group_by(messages.c.flow)
_PENDING_OF_ACCOUNTS = select(messages.c.account, func.count()).where(_IS_PENDING).group_by(messages.c.account)


def _since(name: str) -> Any:
    return or_(attempts.c.ended_at.is_(None), attempts.c.ended_at > bindparam(name, type_=Instant))


def _counted(outcomes: tuple[str, ...], name: str) -> Any:
    return func.count().filter(attempts.c.outcome.in_(outcomes), _since(name))


_FLOW_BOOKS = select(
    func.sum(attempts.c.share).filter(_since("hour")).label("requests_hour"),
    func.sum(attempts.c.share).filter(_since("today")).label("requests_today"),
    _counted(("accepted",), "hour").label("messages_hour"),
    _counted(("accepted",), "today").label("messages_today"),
    _counted(REFUSALS, "hour").label("refused_hour"),
    _counted(REFUSALS, "today").label("refused_today"),
).where(attempts.c.flow == bindparam("flow"), _since("since"))
_REQUEST_COUNTED = or_(requests.c.ended_at.is_(None), requests.c.ended_at > bindparam("since", type_=Instant))
_REQUESTS_SINCE = (
    select(func.count()).select_from(requests).where(requests.c.account == bindparam("account"), _REQUEST_COUNTED)
)
_FIRST_END = select(func.min(func.coalesce(requests.c.ended_at, requests.c.latest_end, type_=Instant))).where(
    requests.c.account == bindparam("account"), _REQUEST_COUNTED
)
