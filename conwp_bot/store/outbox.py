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

from sqlalchemy import and_, bindparam, func, literal, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import Update

from conwp_bot.model.budget import Limit
from conwp_bot.model.delivery import Cause, DeliveryClass, OnUnknown, OverLimit, State, next_state, sources
from conwp_bot.model.message import Candidate, Content, Outgoing
from conwp_bot.model.recipient import Recipient
from conwp_bot.store.schema import IS_LEASED, IS_PENDING, Instant, from_ms, messages, to_ms, waits


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


@dataclass(frozen=True, slots=True)
class Head:
    """A flow that has messages of a class waiting for an account: whether one is due, when the next one will be, and its own limit."""

    klass: DeliveryClass
    flow: str
    due: bool
    next_at: datetime | None
    limit: Limit | None
    over_limit: OverLimit


def heads(conn: Connection, account: str, now: datetime) -> list[Head]:
    """Return what waits for an account, by class and flow; a walk over the index that costs per flow, not per message."""
    return [
        Head(
            _CLASSES[row.rank],
            row.flow,
            bool(row.due),
            None if row.next_at is None else from_ms(row.next_at),
            None if row.limit_count is None else Limit.of_ms(row.limit_count, row.limit_span_ms),
            OverLimit(row.over_limit or OverLimit.WAIT),
        )
        for row in conn.execute(_HEADS, {"account": account, "now": to_ms(now)})
    ]


def due(conn: Connection, account: str, rank: int, flow: str, now: datetime, limit: int) -> list[Candidate]:
    """Return a flow's due messages, the longest waiting first."""
    rows = conn.execute(_DUE, {"account": account, "rank": rank, "flow": flow, "now": now, "limit": limit})
    return [
        Candidate(row.id, row.flow, row.recipient, row.not_before, alone=bool(row.tries or row.resends)) for row in rows
    ]


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


def mark_in_flight(
    conn: Connection, ids: Sequence[str], lease: str, request: str, until: datetime, now: datetime
) -> int:
    """Mark claimed messages as in flight for a request, if their lease still is `lease` and they are not expired.

    From now on the lease is the request's, `until` its latest end, however long the claim waited for its turn. Returns how many; the
    caller raises (and so undoes everything) when it is not all.
    """
    values = {"ids": list(ids), "lease_": lease, "request_": request, "until": until, "now": now}
    result = conn.execute(_IN_FLIGHT, values)
    return result.rowcount


def move(
    conn: Connection, moves: Sequence[Move], now: datetime, *, lease: str | None = None, request: str | None = None
) -> int:
    """Carry out changes of state; returns how many rows won.

    With `lease`, only rows under that lease are moved; with `request`, only those whose last request it was.
    """
    return sum(_move(conn, change, now, lease, request) for change in moves)


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
_OF_FLOW = and_(_PENDING_OF, messages.c.flow == bindparam("flow"))
_CLASSES = {klass.rank: klass for klass in DeliveryClass}
_HEADS = text("""
    WITH RECURSIVE walk(rank, flow) AS (
        SELECT * FROM (
            SELECT m.rank, m.flow FROM messages m
            WHERE m.account = :account AND m.state = 'pending' ORDER BY m.rank, m.flow LIMIT 1
        ) AS beginning
        UNION ALL
        SELECT
            (SELECT m.rank FROM messages m
             WHERE m.account = :account AND m.state = 'pending' AND (m.rank, m.flow) > (walk.rank, walk.flow)
             ORDER BY m.rank, m.flow LIMIT 1),
            (SELECT m.flow FROM messages m
             WHERE m.account = :account AND m.state = 'pending' AND (m.rank, m.flow) > (walk.rank, walk.flow)
             ORDER BY m.rank, m.flow LIMIT 1)
        FROM walk WHERE walk.rank IS NOT NULL
    )
    SELECT
        walk.rank AS rank,
        walk.flow AS flow,
        EXISTS (
            SELECT 1 FROM messages m WHERE m.account = :account AND m.state = 'pending'
            AND m.rank = walk.rank AND m.flow = walk.flow AND m.not_before <= :now
        ) AS due,
        (
            SELECT m.not_before FROM messages m WHERE m.account = :account AND m.state = 'pending'
            AND m.rank = walk.rank AND m.flow = walk.flow AND m.not_before > :now ORDER BY m.not_before LIMIT 1
        ) AS next_at,
        flows.limit_count, flows.limit_span_ms, flows.over_limit
    FROM walk LEFT JOIN flows ON flows.id = walk.flow
    WHERE walk.rank IS NOT NULL
""")
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
    .values(
        state=State.IN_FLIGHT.value,
        request=bindparam("request_"),
        lease_until=bindparam("until", type_=Instant),
        reason=None,
    )
)


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


def _move(conn: Connection, change: Move, now: datetime, lease: str | None, request: str | None) -> int:
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
    if request is not None:
        values["request_"] = request
    for source in sources(change.cause):
        statement = _move_statement(source, change.cause, lease is not None, request is not None)
        if conn.execute(statement, values).rowcount:
            return 1
    return 0


@cache
def _move_statement(source: State, cause: Cause, leased: bool, asked: bool) -> Update:
    """Return the update for one arrow of the table; built once, because building costs more than running."""
    target = next_state(source, cause)
    statement = update(messages).where(messages.c.id == bindparam("id_"), messages.c.state == source.value)
    if leased:
        statement = statement.where(messages.c.lease == bindparam("lease_"))
    if asked:
        statement = statement.where(messages.c.request == bindparam("request_"))
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
