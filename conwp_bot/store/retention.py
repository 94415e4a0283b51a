"""What is old and at rest is deleted, a little at a time; what may still matter never is."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, delete, exists, select
from sqlalchemy.engine import Connection

from conwp_bot.model.delivery import FINAL
from conwp_bot.model.run import RunState
from conwp_bot.store.schema import attempts, events, flow_versions, flows, messages, rejects, requests, runs

LEDGER_KEPT = timedelta(days=8)
"""The ledger's rows outlive every limit's span, however short `retention` is; a limit looks back a week at most."""

BATCH = 500


def forget_old(conn: Connection, before: datetime, now: datetime) -> int:
    """Delete up to a batch of each kind of row that was at rest before `before`; returns how many, 0 when nothing is left.

    Events stay as long as their run, so that a repeat is known for as long as the first one is; a run stays until its last
    message is at rest.
    """
    final = [state.value for state in FINAL]
    unfinished = exists().where(messages.c.run == runs.c.id)
    gone = _delete(conn, messages, messages.c.state.in_(final) & (messages.c.changed_at < before))
    gone += _delete(conn, runs, (runs.c.state != RunState.RUNNING.value) & (runs.c.ended_at < before) & ~unfinished)
    gone += _delete(conn, events, (events.c.occurred_at < before) & ~exists().where(runs.c.event == events.c.id))
    ledger_before = min(before, now - LEDGER_KEPT)
    gone += _delete(conn, requests, requests.c.ended_at < ledger_before)
    orphans = ~exists().where(requests.c.id == attempts.c.request)
    gone += conn.execute(delete(attempts).where((attempts.c.ended_at < ledger_before) & orphans)).rowcount
    gone += conn.execute(delete(rejects).where(~exists().where(runs.c.id == rejects.c.run))).rowcount
    gone += _delete(
        conn,
        flow_versions,
        (flow_versions.c.stored_at < before)
        & ~exists().where(runs.c.flow_hash == flow_versions.c.hash)
        & ~exists().where(flows.c.hash == flow_versions.c.hash),
    )
    return gone


def _delete(conn: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    key = table.c.hash if "hash" in table.c and "id" not in table.c else table.c.id
    picked = select(key).where(condition).limit(BATCH)
    return conn.execute(delete(table).where(key.in_(picked))).rowcount
