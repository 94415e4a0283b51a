"""Events, runs and messages: stored together, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, Row

from conwp_bot.model.event import Event, EventKind, EventReceipt, SlotMark
from conwp_bot.model.message import NewMessage
from conwp_bot.model.plain import from_json, to_json
from conwp_bot.model.rows import Reject
from conwp_bot.model.run import Frame, RunHeader, RunProgress, RunState, TraceEntry
from conwp_bot.store.schema import IS_PENDING, IS_RUNNING, events, messages, rejects, runs, schedules


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one evaluation of a run gave, to be committed: its state, and all that is new since the last commit.

    `progress` is None once the run has ended; `trace` is the whole trace, kept short by who makes it.
    """

    state: RunState
    reason: str | None
    progress: RunProgress | None
    messages: Sequence[NewMessage]
    rejects: Sequence[Reject]
    trace: Sequence[TraceEntry]
    messages_total: int
    rejected_total: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its run as far as it came at once; `mark` is a schedule's, in the same commit."""

    event: Event
    header: RunHeader
    evaluated: Evaluated
    mark: SlotMark | None = None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as the store has it, with its event: all that is needed to go on with it."""

    header: RunHeader
    event: Event
    state: RunState
    progress: RunProgress | None
    trace: tuple[TraceEntry, ...]


def record_batch(conn: Connection, items: Sequence[Recorded]) -> list[EventReceipt]:
    """Store events with their runs and messages; a repeat (same flow, trigger and key) stores nothing but its mark.

    Returns a receipt for each item, in order; that of a repeat names the first event.
    """
    seen = _known_keys(conn, items)
    receipts: list[EventReceipt] = []
    fresh: list[Recorded] = []
    for item in items:
        event = item.event
        if event.key is not None:
            first = seen.setdefault((event.flow, event.trigger, event.key), event.id)
            if first != event.id:
                receipts.append(EventReceipt(first, first=False))
                continue
        fresh.append(item)
        receipts.append(EventReceipt(event.id, first=True, run=item.header.id))
    if fresh:
        conn.execute(insert(events), [_event_row(item.event) for item in fresh])
        conn.execute(insert(runs), [_run_row(item.header, item.evaluated) for item in fresh])
        _insert_messages(conn, [message for item in fresh for message in item.evaluated.messages])
        _insert_rejects(conn, [(item.header.id, reject) for item in fresh for reject in item.evaluated.rejects])
    put_marks(conn, [item.mark for item in items if item.mark is not None])
    return receipts


def continue_run(conn: Connection, run: str, evaluated: Evaluated) -> None:
    """Store what a run did since its last commit."""
    _insert_messages(conn, evaluated.messages)
    _insert_rejects(conn, [(run, reject) for reject in evaluated.rejects])
    conn.execute(_CONTINUE, {"run": run, **_evaluated_row(evaluated)})


def put_marks(conn: Connection, marks: Sequence[SlotMark]) -> None:
    """Remember how far schedules are worked off; a mark never goes back while its spec stays the same."""
    for mark in marks:
        values = {"flow": mark.flow, "trigger": mark.trigger, "spec": mark.spec, "done_until": mark.done_until}
        upsert = pg_insert if conn.dialect.name == "postgresql" else sqlite_insert
        statement = upsert(schedules).values(**values)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=["flow", "trigger"],
                set_={"spec": statement.excluded.spec, "done_until": statement.excluded.done_until},
                where=(schedules.c.spec != statement.excluded.spec)
                | (schedules.c.done_until < statement.excluded.done_until),
            )
        )


def slot_marks(conn: Connection) -> list[SlotMark]:
    """Return how far each schedule is worked off."""
    rows = conn.execute(select(schedules.c.flow, schedules.c.trigger, schedules.c.spec, schedules.c.done_until))
    return [SlotMark(*row) for row in rows]


def running_runs(conn: Connection, limit: int = 1000) -> list[str]:
    """Return the ids of the runs that have steps left, oldest first."""
    query = select(runs.c.id).where(IS_RUNNING).order_by(runs.c.id).limit(limit)
    return list(conn.execute(query).scalars())


def load_run(conn: Connection, run: str) -> StoredRun | None:
    """Return a run with its event, or None."""
    row = conn.execute(_RUN_WITH_EVENT, {"run": run}).first()
    if row is None:
        return None
    return StoredRun(
        header=RunHeader(row.id, row.flow, row.flow_hash, row.event, row.started_at),
        event=event_from(row, row.event),
        state=RunState(row.state),
        progress=progress_from(row.progress) if row.progress else None,
        trace=trace_from(row.trace),
    )


def runs_of_events(conn: Connection, ids: Sequence[str]) -> dict[str, tuple[str, RunState]]:
    """Return, of these events, those that are stored: event id to its run's id and state."""
    query = select(runs.c.event, runs.c.id, runs.c.state).where(runs.c.event.in_(ids))
    return {event: (run, RunState(state)) for event, run, state in conn.execute(query)}


def rejects_of(conn: Connection, run: str) -> list[Reject]:
    """Return a run's rejected rows by their number."""
    query = select(rejects.c.number, rejects.c.reason, rejects.c.raw).where(rejects.c.run == run)
    return [Reject(*row) for row in conn.execute(query.order_by(rejects.c.number))]


def pending_count(conn: Connection) -> int:
    """Return how many messages wait to be sent."""
    return conn.execute(select(func.count()).select_from(messages).where(IS_PENDING)).scalar_one()


def event_from(row: Row[Any], identity: str) -> Event:
    """Build the event of a row that has its columns."""
    return Event(
        id=identity,
        flow=row.flow,
        trigger=row.trigger,
        kind=EventKind(row.kind),
        occurred_at=row.occurred_at,
        key=row.key,
        data=from_json(row.data),
    )


def progress_from(text: str) -> RunProgress:
    """Read a stored progress."""
    data = from_json(text)
    data["stack"] = tuple(Frame(**frame) for frame in data["stack"])
    return RunProgress(**data)


def progress_text(progress: RunProgress) -> str:
    """Write a progress as `progress_from` reads it."""
    # Not `asdict`, which would copy every item of every loop at every commit.
    shallow = {field.name: getattr(progress, field.name) for field in fields(RunProgress)}
    shallow["stack"] = [{field.name: getattr(frame, field.name) for field in fields(Frame)} for frame in progress.stack]
    return to_json(shallow)


def trace_from(text: str) -> tuple[TraceEntry, ...]:
    """Read a stored trace."""
    return tuple(
        TraceEntry(datetime.fromisoformat(at), step, did, detail, item)
        for at, step, did, detail, item in from_json(text)
    )


def trace_text(trace: Sequence[TraceEntry]) -> str:
    """Write a trace as `trace_from` reads it."""
    return to_json([[entry.at.isoformat(), entry.step, entry.did, entry.detail, entry.item] for entry in trace])


_CONTINUE = update(runs).where(runs.c.id == bindparam("run"))
_RUN_WITH_EVENT = select(
    runs, events.c.trigger, events.c.kind, events.c.key, events.c.occurred_at, events.c.data
).where(and_(runs.c.id == bindparam("run"), events.c.id == runs.c.event))


def _known_keys(conn: Connection, items: Sequence[Recorded]) -> dict[tuple[str, str, str], str]:
    """Return, of the items' keys, those that are stored already, with the first event's id."""
    keys = [(item.event.flow, item.event.trigger, item.event.key) for item in items if item.event.key is not None]
    known: dict[tuple[str, str, str], str] = {}
    for start in range(0, len(keys), 200):
        query = select(events.c.flow, events.c.trigger, events.c.key, events.c.id).where(
            tuple_(events.c.flow, events.c.trigger, events.c.key).in_(keys[start : start + 200])
        )
        known.update({(flow, trigger, key): identity for flow, trigger, key, identity in conn.execute(query)})
    return known


def _event_row(event: Event) -> Mapping[str, Any]:
    return {
        "id": event.id,
        "flow": event.flow,
        "trigger": event.trigger,
        "kind": event.kind.value,
        "key": event.key,
        "occurred_at": event.occurred_at,
        "data": to_json(event.data),
    }


def _evaluated_row(evaluated: Evaluated) -> dict[str, Any]:
    ended = evaluated.state is not RunState.RUNNING
    return {
        "state": evaluated.state.value,
        "reason": evaluated.reason,
        "ended_at": evaluated.at if ended else None,
        "messages": evaluated.messages_total,
        "rejected": evaluated.rejected_total,
        "progress": None if ended or evaluated.progress is None else progress_text(evaluated.progress),
        "trace": trace_text(evaluated.trace),
    }


def _run_row(header: RunHeader, evaluated: Evaluated) -> Mapping[str, Any]:
    return {
        "id": header.id,
        "event": header.event,
        "flow": header.flow,
        "flow_hash": header.flow_hash,
        "started_at": header.started_at,
        **_evaluated_row(evaluated),
    }


def _insert_messages(conn: Connection, new: Sequence[NewMessage]) -> None:
    if new:
        conn.execute(insert(messages), [_message_row(message) for message in new])


def _message_row(message: NewMessage) -> Mapping[str, Any]:
    return {
        "id": message.id,
        "flow": message.flow,
        "run": message.run,
        "step": message.step,
        "account": message.account,
        "recipient": message.recipient,
        "text": message.content.text,
        "kind": message.content.kind,
        "media_url": message.content.media_url,
        "klass": message.klass.value,
        "rank": message.klass.rank,
        "on_unknown": message.on_unknown.value,
        "attempts_allowed": message.attempts_allowed,
        "created_at": message.created_at,
        "expires_at": message.expires_at,
        "state": message.state.value,
        "reason": message.reason,
        "not_before": message.created_at,
        "tries": 0,
        "faults": 0,
        "resends": 0,
        "changed_at": message.created_at,
    }


def _insert_rejects(conn: Connection, new: Sequence[tuple[str, Reject]]) -> None:
    """A flow may walk the rows twice and reject one each time: the first reason stays."""
    if new:
        upsert = pg_insert if conn.dialect.name == "postgresql" else sqlite_insert
        conn.execute(
            upsert(rejects).on_conflict_do_nothing(),
            [{"run": run, "number": reject.number, "reason": reject.reason, "raw": reject.raw} for run, reject in new],
        )
