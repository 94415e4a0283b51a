"""The ledger: a row per request of any kind, counted by its *end*; and each message's share of a request.

Counting ends is what holds for a rolling and for any fixed hour: a request reaches the server somewhere between its reservation and
its end, so whatever the server counts in an hour was, at the last reservation, either open or ended within that hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, union_all, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from conwp_bot.model.budget import Limit, Usage
from conwp_bot.store.schema import IS_OPEN, Instant, attempts, requests

FUTURE = timedelta(hours=2)
"""No request that began by a right clock ends later than this after now."""

LATE = timedelta(seconds=120)
"""How long a provider may go on with what ended for us."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """One request about to begin. `latest_end` is when it has surely ended, should its end never be learned."""

    id: str
    account: str
    endpoint: str
    klass: str
    reserved_at: datetime
    latest_end: datetime
    messages: tuple[tuple[str, str], ...] = ()  # (message id, flow)


def account_usage(conn: Connection, account: str, limit: Limit, now: datetime) -> Usage:
    """Return what an account has used of its limit's span at `now`, and when it has room again (None while it has)."""
    since = now - limit.span
    used = conn.execute(_ACCOUNT_USED, {"account": account, "since": since}).scalar_one()
    if used < limit.count:
        return Usage(used)
    end = conn.execute(_ACCOUNT_ENDS, {"account": account, "since": since, "skip": used - limit.count}).scalar()
    return Usage(used, frees_at=None if end is None else end + limit.span)


def flow_usage(conn: Connection, flow: str, limit: Limit, now: datetime) -> Usage:
    """Return how many messages of a flow were begun within its limit's span, and when it has room again."""
    since = now - limit.span
    used = conn.execute(_FLOW_USED, {"flow": flow, "since": since}).scalar_one()
    if used < limit.count:
        return Usage(used)
    end = conn.execute(_FLOW_ENDS, {"flow": flow, "since": since, "skip": used - limit.count}).scalar()
    return Usage(used, frees_at=None if end is None else end + limit.span)


def last_reserved_at(conn: Connection, account: str) -> datetime | None:
    """Return when the account's newest request began; the pace goes on from there after a restart."""
    open_ = select(func.max(requests.c.reserved_at)).where(requests.c.account == account, requests.c.ended_at.is_(None))
    ended = (
        select(requests.c.reserved_at)
        .where(requests.c.account == account, requests.c.ended_at.is_not(None))
        .order_by(requests.c.ended_at.desc())
        .limit(1)
    )
    found = [instant for query in (open_, ended) if (instant := conn.execute(query).scalar()) is not None]
    return max(found, default=None)


def reserve(conn: Connection, reservation: Reservation) -> None:
    """Write the request and its messages' attempts; the caller has asked the limit in this same transaction."""
    conn.execute(
        _RESERVE,
        {
            "id": reservation.id,
            "account": reservation.account,
            "endpoint": reservation.endpoint,
            "klass": reservation.klass,
            "messages": len(reservation.messages),
            "reserved_at": reservation.reserved_at,
            "latest_end": reservation.latest_end,
        },
    )
    if reservation.messages:
        share = 1 / len(reservation.messages)
        conn.execute(
            _ATTEMPT,
            [
                {
                    "request": reservation.id,
                    "message": message,
                    "flow": flow,
                    "share": share,
                    "begun_at": reservation.reserved_at,
                }
                for message, flow in reservation.messages
            ],
        )


def finish(conn: Connection, request: str, ended_at: datetime, outcome: str, detail: str) -> None:
    """Write when a request ended, and what it meant; a request that has an end keeps the one it has."""
    values = {"request_": request, "ended": ended_at, "outcome_": outcome, "detail_": detail}
    conn.execute(_FINISH_REQUEST, values)
    conn.execute(_FINISH_ATTEMPTS, values)


def close_open(conn: Connection, before: datetime | None) -> int:
    """End the requests whose end nobody will learn, at their latest possible end; returns how many.

    With `before`, only those whose latest end has come; without, all: after a start no request is under way.
    """
    condition: ColumnElement[bool] = IS_OPEN
    if before is not None:
        condition = condition & (requests.c.latest_end <= before)
    stale = list(conn.execute(select(requests.c.id, requests.c.latest_end).where(condition)))
    for identity, latest_end in stale:
        finish(conn, identity, latest_end, "unknown", "the end of the request was not seen")
    return len(stale)


def pull_back(conn: Connection, now: datetime) -> int:
    """Give requests that ended far in the future, by a clock that was wrong then, an end that is certainly late enough; returns how many.

    They count on for a whole span, because the provider's memory does not go back, but not for a year.
    """
    late = (requests.c.ended_at > now + FUTURE) & requests.c.ended_at.is_not(None)
    identities = list(conn.execute(select(requests.c.id).where(late)).scalars())
    for identity in identities:
        values = {"ended_at": now + LATE}
        conn.execute(update(requests).where(requests.c.id == identity).values(**values))
        conn.execute(update(attempts).where(attempts.c.request == identity).values(**values))
    return len(identities)


def _nth(*ends: Select[Any]) -> Select[Any]:
    """Return the query for one end of several, the `skip`-th from the earliest."""
    every = union_all(*ends).subquery()
    return select(every.c.ends).order_by(every.c.ends).limit(1).offset(bindparam("skip"))


# Open and ended are counted apart: one condition with OR would walk the whole account's history.
_OF_ACCOUNT = requests.c.account == bindparam("account")
_ENDED_SINCE = requests.c.ended_at > bindparam("since", type_=Instant)
_ACCOUNT_USED = select(
    select(func.count()).select_from(requests).where(_OF_ACCOUNT, IS_OPEN).scalar_subquery()
    + select(func.count()).select_from(requests).where(_OF_ACCOUNT, _ENDED_SINCE).scalar_subquery()
)
# An open request has ended by its latest end at the latest: that is when it would free its slot.
_ACCOUNT_ENDS = _nth(
    select(requests.c.latest_end.label("ends")).where(_OF_ACCOUNT, IS_OPEN),
    select(requests.c.ended_at.label("ends")).where(_OF_ACCOUNT, _ENDED_SINCE),
)
_OF_FLOW = attempts.c.flow == bindparam("flow")
_UNENDED = attempts.c.ended_at.is_(None)
_BEGUN_SINCE = attempts.c.ended_at > bindparam("since", type_=Instant)
_FLOW_USED = select(
    select(func.count()).select_from(attempts).where(_OF_FLOW, _UNENDED).scalar_subquery()
    + select(func.count()).select_from(attempts).where(_OF_FLOW, _BEGUN_SINCE).scalar_subquery()
)
_FLOW_ENDS = _nth(
    select(attempts.c.begun_at.label("ends")).where(_OF_FLOW, _UNENDED),
    select(attempts.c.ended_at.label("ends")).where(_OF_FLOW, _BEGUN_SINCE),
)
_RESERVE = insert(requests)
_ATTEMPT = insert(attempts)
_FINISH_REQUEST = (
    update(requests)
    .where(requests.c.id == bindparam("request_"), requests.c.ended_at.is_(None))
    .values(ended_at=bindparam("ended", type_=Instant), outcome=bindparam("outcome_"), detail=bindparam("detail_"))
)
_FINISH_ATTEMPTS = (
    update(attempts)
    .where(attempts.c.request == bindparam("request_"), attempts.c.ended_at.is_(None))
    .values(ended_at=bindparam("ended", type_=Instant), outcome=bindparam("outcome_"), detail=bindparam("detail_"))
)
