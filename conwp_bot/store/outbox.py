"""The outbox: claiming messages, marking them in flight together with their budget slot, recording what came of them.

Every change of state names the states that it may leave, so a row that somebody else has moved is simply not counted: win by
counting rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, literal, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import Update

from conwp_bot.model.delivery import Cause, DeliveryClass, OnUnknown, State, next_state, sources
from conwp_bot.model.message import Candidate, Content, Outgoing
from conwp_bot.model.recipient import Recipient
from conwp_bot.store.schema import IS_LEASED, IS_PENDING, Instant, messages, waits


@dataclass(frozen=True, slots=True)
class Move:
    """One delivery's change of state, and what is written with it.

    `tries` and `faults` are added; `resent` marks a second sending by policy.
    """

    message: str
    cause: Cause
    reason: str | None = None
    not_before: datetime | None = None
    tries: int = 0
    faults: int = 0
    resent: bool = False
    provider_id: str | None = None


def flows_with_due(conn: Connection, account: str, rank: int, now: datetime) -> list[str]:
    """Return the flows of a class that have a due message for an account, by a walk over the index: cost per flow, not per row."""
    found: list[str] = []
    last = ""
    while True:
        flow = conn.execute(_NEXT_FLOW, {"account": account, "rank": rank, "last": last}).scalar()
        if flow is None:
            return found
        if conn.execute(_FLOW_DUE, {"account": account, "rank": rank, "flow": flow, "now": now}).scalar():
            found.append(flow)
        last = flow


def due(conn: Connection, account: str, rank: int, flow: str, now: datetime, limit: int) -> list[Candidate]:
    """Return a flow's due messages, the longest waiting first."""
    rows = conn.execute(_DUE, {"account": account, "rank": rank, "flow": flow, "now": now, "limit": limit})
    return [
        Candidate(row.id, row.flow, row.recipient, row.not_before, alone=bool(row.tries or row.resends)) for row in rows
    ]


def next_due_at(conn: Connection, account: str, now: datetime) -> datetime | None:
    """Return when the next message of an account that is not due at `now` becomes due, None when none is to come."""
    instants = [
        instant
        for klass in DeliveryClass
        for flow in _flows_pending(conn, account, klass.rank)
        if (
            instant := conn.execute(
                _FLOW_NEXT, {"account": account, "rank": klass.rank, "flow": flow, "now": now}
            ).scalar()
        )
    ]
    return min(instants, default=None)


def backlog(conn: Connection, account: str, now: datetime, cap: int) -> int:
    """Return how many messages of an account are due, counting no further than `cap`."""
    inner = select(literal(1)).where(messages.c.account == account, IS_PENDING, messages.c.not_before <= now)
    return conn.execute(select(func.count()).select_from(inner.limit(cap).subquery())).scalar_one()


def claim(conn: Connection, ids: Sequence[str], lease: str, until: datetime) -> list[Outgoing]:
    """Take pending messages for a lease; returns those won, in the order of `ids`."""
    won: dict[str, Outgoing] = {}
    for start in range(0, len(ids), 500):
        part = list(ids[start : start + 500])
        rows = conn.execute(_CLAIM, {"ids": part, "lease_": lease, "until": until})
        won.update({row.id: _outgoing(row) for row in rows})
    return [won[identity] for identity in ids if identity in won]


def mark_in_flight(conn: Connection, ids: Sequence[str], lease: str, request: str, now: datetime) -> int:
    """Mark claimed messages as in flight for a request, if their lease still is `lease` and they are not expired.

    Returns how many; the caller raises (and so undoes everything) when it is not all.
    """
    result = conn.execute(_IN_FLIGHT, {"ids": list(ids), "lease_": lease, "request_": request, "now": now})
    return result.rowcount


def move(conn: Connection, moves: Sequence[Move], now: datetime, *, lease: str | None = None) -> int:
    """Carry out changes of state; returns how many rows won. With `lease`, only rows under that lease are moved."""
    return sum(_move(conn, change, now, lease) for change in moves)


def expire(conn: Connection, now: datetime, limit: int = 500) -> list[str]:
    """End pending messages whose time is over; returns the ids, at most `limit` of them a call."""
    picked = (
        select(messages.c.id)
        .where(IS_PENDING, messages.c.expires_at <= now)
        .order_by(messages.c.expires_at)
        .limit(limit)
    )
    rows = conn.execute(
        update(messages)
        .where(messages.c.id.in_(picked), IS_PENDING)
        .values(
            state=next_state(State.PENDING, Cause.EXPIRE).value,
            reason=func.coalesce("not accepted in time; " + messages.c.reason, "not accepted in time"),
            changed_at=now,
        )
        .returning(messages.c.id)
    )
    return list(rows.scalars())


def next_expiry(conn: Connection) -> datetime | None:
    """Return when the next pending message expires."""
    query = select(func.min(messages.c.expires_at)).where(IS_PENDING)
    instant: datetime | None = conn.execute(query).scalar()
    return instant


def leases_over(
    conn: Connection, now: datetime, holder: str | None = None
) -> list[tuple[str, State, str | None, OnUnknown, int]]:
    """Return the claimed and in-flight messages whose lease is over: id, state, request, policy, resends.

    With `holder`, also every one whose lease is not of that holder: after a start, nobody else is at work on this database.
    """
    stale = messages.c.lease_until <= now
    if holder is not None:
        stale = stale | (messages.c.lease != holder)
    query = select(
        messages.c.id, messages.c.state, messages.c.request, messages.c.on_unknown, messages.c.resends
    ).where(IS_LEASED, stale)
    return [
        (row.id, State(row.state), row.request, OnUnknown(row.on_unknown), row.resends) for row in conn.execute(query)
    ]


def set_wait(
    conn: Connection, scope: str, name: str, until: datetime, because: str, detail: str | None, now: datetime
) -> None:
    """Say that an account or a flow waits, until when and why; the page and `messages` show it for what is due."""
    since = conn.execute(
        select(waits.c.since).where(waits.c.scope == scope, waits.c.name == name, waits.c.because == because)
    ).scalar()
    clear_wait(conn, scope, name)
    conn.execute(
        waits.insert().values(scope=scope, name=name, until=until, because=because, detail=detail, since=since or now)
    )


def clear_wait(conn: Connection, scope: str, name: str) -> None:
    """Forget that an account or a flow waits."""
    conn.execute(waits.delete().where(waits.c.scope == scope, waits.c.name == name))


@dataclass(frozen=True, slots=True)
class StoredWait:
    """An account or a flow that waits."""

    scope: str
    name: str
    until: datetime
    because: str
    detail: str | None
    since: datetime


def all_waits(conn: Connection) -> list[StoredWait]:
    """Return every wait, also those whose time has passed but which nobody cleared yet."""
    query = select(waits.c.scope, waits.c.name, waits.c.until, waits.c.because, waits.c.detail, waits.c.since)
    return [StoredWait(*row) for row in conn.execute(query)]


_PENDING_OF = and_(
    messages.c.account == bindparam("account"),
    messages.c.rank == bindparam("rank"),
    IS_PENDING,
)
_NEXT_FLOW = select(func.min(messages.c.flow)).where(_PENDING_OF, messages.c.flow > bindparam("last"))
_OF_FLOW = and_(_PENDING_OF, messages.c.flow == bindparam("flow"))
_FLOW_DUE = select(exists().where(_OF_FLOW, messages.c.not_before <= bindparam("now")))
_FLOW_NEXT = (
    select(messages.c.not_before)
    .where(_OF_FLOW, messages.c.not_before > bindparam("now", type_=Instant))
    .order_by(messages.c.not_before)
    .limit(1)
)
_DUE = (
    select(
        messages.c.id,
        messages.c.flow,
        messages.c.recipient,
        messages.c.not_before,
        messages.c.tries,
        messages.c.resends,
    )
    .where(_OF_FLOW, messages.c.not_before <= bindparam("now"))
    .order_by(messages.c.not_before, messages.c.id)
    .limit(bindparam("limit"))
)
_CLAIM = (
    update(messages)
    .where(messages.c.id.in_(bindparam("ids", expanding=True)), messages.c.state.in_(sources(Cause.CLAIM)))
    .values(state=State.CLAIMED.value, lease=bindparam("lease_"), lease_until=bindparam("until"))
    .returning(messages)
)
_IN_FLIGHT = (
    update(messages)
    .where(
        messages.c.id.in_(bindparam("ids", expanding=True)),
        messages.c.state.in_(sources(Cause.RESERVE)),
        messages.c.lease == bindparam("lease_"),
        messages.c.expires_at > bindparam("now"),
    )
    .values(state=State.IN_FLIGHT.value, request=bindparam("request_"), reason=None)
)


def _flows_pending(conn: Connection, account: str, rank: int) -> list[str]:
    found: list[str] = []
    last = ""
    while flow := conn.execute(_NEXT_FLOW, {"account": account, "rank": rank, "last": last}).scalar():
        found.append(flow)
        last = flow
    return found


def _outgoing(row: Any) -> Outgoing:
    return Outgoing(
        id=row.id,
        flow=row.flow,
        run=row.run,
        account=row.account,
        recipient=Recipient(row.recipient),
        content=Content(row.text, row.kind, row.media_url),
        klass=DeliveryClass(row.klass),
        on_unknown=OnUnknown(row.on_unknown),
        attempts_allowed=row.attempts_allowed,
        tries=row.tries,
        faults=row.faults,
        resends=row.resends,
        expires_at=row.expires_at,
        lease=row.lease,
    )


def _move(conn: Connection, change: Move, now: datetime, lease: str | None) -> int:
    values: dict[str, Any] = {
        "id_": change.message,
        "reason_": change.reason,
        "now": now,
        "not_before_": change.not_before,
        "tries_": change.tries,
        "faults_": change.faults,
        "resends_": int(change.resent),
        "provider_": change.provider_id,
    }
    if lease is not None:
        values["lease_"] = lease
    for source in sources(change.cause):
        if conn.execute(_move_statement(source, change.cause, lease is not None), values).rowcount:
            return 1
    return 0


@cache
def _move_statement(source: State, cause: Cause, leased: bool) -> Update:
    """Return the update for one arrow of the table; built once, because building costs more than running."""
    target = next_state(source, cause)
    statement = update(messages).where(messages.c.id == bindparam("id_"), messages.c.state == source.value)
    if leased:
        statement = statement.where(messages.c.lease == bindparam("lease_"))
    values: dict[str, Any] = {
        "state": target.value,
        "reason": bindparam("reason_"),
        "not_before": func.coalesce(bindparam("not_before_", type_=Instant), messages.c.not_before),
        "tries": messages.c.tries + bindparam("tries_"),
        "faults": messages.c.faults + bindparam("faults_"),
        "resends": messages.c.resends + bindparam("resends_"),
        "provider_id": func.coalesce(bindparam("provider_"), messages.c.provider_id),
        "changed_at": bindparam("now", type_=Instant),
        "lease": None,
        "lease_until": None,
    }
    if target is State.ACCEPTED:
        values["accepted_at"] = bindparam("now", type_=Instant)
    return statement.values(**values)
