"""What is old and at rest is deleted, a little at a time; what may still matter never is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Table, delete, exists, select
from sqlalchemy.engine import Connection

from conwp_bot.ids import first_id
from conwp_bot.model.delivery import FINAL
from conwp_bot.model.run import RunState
from conwp_bot.store.schema import attempts, events, flow_versions, flows, messages, rejects, requests, runs

LEDGER_KEPT = timedelta(days=8)
"""The ledger's rows outlive every limit's span, however short `retention` is; a limit looks back a week at most."""

BATCH = 500


def forget_old(conn: Connection, before: datetime, now: datetime, keep: Sequence[str] = ()) -> int:
    """Delete up to a batch of each kind of row that was at rest before `before`; returns how many, 0 when nothing is left.

    Events stay as long as their run, so that a repeat is known for as long as the first one is; a run stays until its last
    message is at rest. The events in `keep` stay with their runs: their files are not put away yet, and without them would be taken
    for new ones. Nothing is searched but what is old by its id, so that the only writer is soon free again, however much is stored.
    """
    final = [state.value for state in FINAL]
    gone = _delete(conn, messages, before, messages.c.state.in_(final) & (messages.c.changed_at < before))
    ended = (runs.c.state != RunState.RUNNING.value) & (runs.c.ended_at < before) & runs.c.event.not_in(keep)
    gone += _delete(conn, runs, before, ended & ~exists().where(messages.c.run == runs.c.id))
    without_run = (
        (events.c.occurred_at < before) & events.c.id.not_in(keep) & ~exists().where(runs.c.event == events.c.id)
    )
    gone += _delete(conn, events, before, without_run)
    ledger_before = min(before, now - LEDGER_KEPT)
    gone += _delete(conn, requests, ledger_before, requests.c.ended_at < ledger_before)
    # Of a message that a person has yet to decide on, what was tried stays known.
    of_nobody = ~exists().where(requests.c.id == attempts.c.request) & ~exists().where(
        messages.c.id == attempts.c.message
    )
    gone += _delete_parts(conn, attempts.c.request, ledger_before, of_nobody & (attempts.c.ended_at < ledger_before))
    gone += _delete_parts(conn, rejects.c.run, before, ~exists().where(runs.c.id == rejects.c.run))
    old_versions = (
        (flow_versions.c.stored_at < before)
        & ~exists().where(runs.c.flow_hash == flow_versions.c.hash)
        & ~exists().where(flows.c.hash == flow_versions.c.hash)
    )
    return gone + conn.execute(delete(flow_versions).where(old_versions)).rowcount


_PREFIXES = {messages: "msg", runs: "run", events: "ev", requests: "req"}


def _delete(conn: Connection, table: Table, before: datetime, condition: ColumnElement[bool]) -> int:
    old = table.c.id < first_id(_PREFIXES[table], before)
    picked = select(table.c.id).where(old, condition).order_by(table.c.id).limit(BATCH)
    return conn.execute(delete(table).where(table.c.id.in_(picked))).rowcount


def _delete_parts(conn: Connection, owner: Column[str], before: datetime, condition: ColumnElement[bool]) -> int:
    """Delete rows of a table without an id of its own, by who they belong to."""
    prefix = "req" if owner is attempts.c.request else "run"
    old = owner < first_id(prefix, before)
    picked = select(owner).where(old, condition).distinct().order_by(owner).limit(BATCH)
    return conn.execute(delete(owner.table).where(owner.in_(picked), condition)).rowcount
