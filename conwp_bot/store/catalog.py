"""What the store knows of flows: which are live and what they ask of delivery, and every version that a run began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from conwp_bot.model.delivery import DeliveryPolicy
from conwp_bot.store.schema import flow_versions, flows, waits


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """A flow as it was once loaded: enough to build it again."""

    flow: str
    file: str
    source: str
    timezone: str
    locale: str


@dataclass(frozen=True, slots=True)
class LiveFlow:
    """A flow that is live, and what it asks of delivery."""

    hash: str
    version: FlowVersion
    delivery: DeliveryPolicy

    @property
    def id(self) -> str:
        """The flow's id."""
        return self.version.flow


def put_flows(conn: Connection, live: Sequence[LiveFlow], now: datetime) -> None:
    """Say which flows are live; the others' rows stay, because their messages may still wait."""
    known = {row.id: (row.hash, row.live) for row in conn.execute(select(flows.c.id, flows.c.hash, flows.c.live))}
    changed = [flow for flow in live if known.get(flow.id) != (flow.hash, True)]
    gone = [identity for identity, (_, is_live) in known.items() if is_live and identity not in {f.id for f in live}]
    for start in range(0, len(gone), 500):
        conn.execute(update(flows).where(flows.c.id.in_(gone[start : start + 500])).values(live=False))
    if not changed:
        return
    for start in range(0, len(changed), 500):
        part = changed[start : start + 500]
        ids = [flow.id for flow in part]
        conn.execute(delete(flows).where(flows.c.id.in_(ids)))
        # How long a flow waits for its limit was reckoned with the limit that it had.
        conn.execute(delete(waits).where(waits.c.scope == "flow", waits.c.name.in_(ids)))
        conn.execute(insert(flows), [_flow_row(flow, now) for flow in part])
        hashes = [flow.hash for flow in part]
        stored = set(conn.execute(select(flow_versions.c.hash).where(flow_versions.c.hash.in_(hashes))).scalars())
        new = {flow.hash: _version_row(flow, now) for flow in part if flow.hash not in stored}
        if new:
            conn.execute(insert(flow_versions), list(new.values()))


def live_versions(conn: Connection, ids: Sequence[str]) -> list[FlowVersion]:
    """Return, of these flows, the versions that were live at last."""
    query = _VERSION.join_from(flow_versions, flows, flows.c.hash == flow_versions.c.hash).where(
        flows.c.id.in_(ids), flows.c.live
    )
    return [FlowVersion(*row) for row in conn.execute(query)]


def version(conn: Connection, hash_: str) -> FlowVersion | None:
    """Return a version by its hash, or None when retention has taken it."""
    row = conn.execute(_VERSION.where(flow_versions.c.hash == hash_)).first()
    return None if row is None else FlowVersion(*row)


_VERSION = select(
    flow_versions.c.flow,
    flow_versions.c.file,
    flow_versions.c.source,
    flow_versions.c.timezone,
    flow_versions.c.locale,
)


def _flow_row(flow: LiveFlow, now: datetime) -> dict[str, object]:
    limit = flow.delivery.limit
    return {
        "id": flow.id,
        "hash": flow.hash,
        "live": True,
        "account": flow.delivery.account,
        "klass": flow.delivery.klass.value,
        "limit_count": limit.count if limit else None,
        "limit_span_ms": limit.span // timedelta(milliseconds=1) if limit else None,
        "over_limit": flow.delivery.over_limit.value,
        "loaded_at": now,
    }


def _version_row(flow: LiveFlow, now: datetime) -> dict[str, object]:
    return {
        "hash": flow.hash,
        "flow": flow.id,
        "file": flow.version.file,
        "source": flow.version.source,
        "timezone": flow.version.timezone,
        "locale": flow.version.locale,
        "stored_at": now,
    }
