"""The tables, once for SQLite and PostgreSQL.

Times are stored in whole milliseconds since 1970 UTC (`Instant` gives and takes aware datetimes). A message's content and its
delivery share a row: the content never changes, the delivery does. `requests` is the ledger: one row per request of any kind,
counted by its end. What changes here also needs a step in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970 UTC, rounded down; raises TypeError for a naive datetime."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """Return the aware UTC datetime of `to_ms`."""
    return EPOCH + timedelta(milliseconds=milliseconds)


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as milliseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else to_ms(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else from_ms(value)


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("flow", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("key", String),
    Column("occurred_at", Instant, nullable=False),
    Column("data", Text, nullable=False),
)
Index("events_key", events.c.flow, events.c.trigger, events.c.key, unique=True)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("event", String, nullable=False),
    Column("flow", String, nullable=False),
    Column("flow_hash", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("messages", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("progress", Text),
    Column("trace", Text, nullable=False),
)
Index("runs_flow", runs.c.flow, runs.c.id)
Index("runs_event", runs.c.event)
IS_RUNNING = runs.c.state == literal_column("'running'")
"""Conditions of partial indexes are written with literals, in the index and in the query: with a bound value SQLite would not use it."""
Index("runs_running", runs.c.id, sqlite_where=IS_RUNNING, postgresql_where=IS_RUNNING)

rejects = Table(
    "rejects",
    metadata,
    Column("run", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
    PrimaryKeyConstraint("run", "number"),
)

flows = Table(
    "flows",
    metadata,
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("account", String, nullable=False),
    Column("klass", String, nullable=False),
    Column("limit_count", Integer),
    Column("limit_span_ms", BigInteger),
    Column("over_limit", String, nullable=False),
    Column("loaded_at", Instant, nullable=False),
)

flow_versions = Table(
    "flow_versions",
    metadata,
    Column("hash", String, primary_key=True),
    Column("flow", String, nullable=False),
    Column("file", String, nullable=False),
    Column("source", Text, nullable=False),
    Column("timezone", String, nullable=False),
    Column("locale", String, nullable=False),
    Column("stored_at", Instant, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("flow", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("spec", Text, nullable=False),
    Column("done_until", Instant, nullable=False),
    PrimaryKeyConstraint("flow", "trigger"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String, primary_key=True),
    Column("flow", String, nullable=False),
    Column("run", String, nullable=False),
    Column("step", String, nullable=False),
    Column("account", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("media_url", Text),
    Column("klass", String, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("on_unknown", String, nullable=False),
    Column("attempts_allowed", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # The delivery: what changes.
    Column("state", String, nullable=False),
    Column("reason", Text),
    Column("not_before", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("faults", Integer, nullable=False),
    Column("resends", Integer, nullable=False),
    Column("lease", String),
    Column("lease_until", Instant),
    Column("request", String),
    Column("provider_id", String),
    Column("accepted_at", Instant),
    Column("changed_at", Instant, nullable=False),
)
IS_PENDING = messages.c.state == literal_column("'pending'")
IS_LEASED = messages.c.state.in_([literal_column("'claimed'"), literal_column("'in_flight'")])
Index(
    "messages_due",
    messages.c.account,
    messages.c.rank,
    messages.c.flow,
    messages.c.not_before,
    messages.c.id,
    sqlite_where=IS_PENDING,
    postgresql_where=IS_PENDING,
)
Index("messages_expiring", messages.c.expires_at, sqlite_where=IS_PENDING, postgresql_where=IS_PENDING)
Index("messages_leased", messages.c.lease_until, sqlite_where=IS_LEASED, postgresql_where=IS_LEASED)
Index("messages_run", messages.c.run)
Index("messages_flow", messages.c.flow, messages.c.id)
Index("messages_recipient", messages.c.recipient, messages.c.id)

requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("klass", String, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("reserved_at", Instant, nullable=False),
    Column("latest_end", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String),
    Column("detail", Text),
)
Index("requests_ended", requests.c.account, requests.c.ended_at)
IS_OPEN = requests.c.ended_at.is_(None)
Index("requests_open", requests.c.account, requests.c.latest_end, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

attempts = Table(
    "attempts",
    metadata,
    Column("request", String, nullable=False),
    Column("message", String, nullable=False),
    Column("flow", String, nullable=False),
    Column("share", Float, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String),
    Column("detail", Text),
    PrimaryKeyConstraint("request", "message"),
)
Index("attempts_message", attempts.c.message)
Index("attempts_flow", attempts.c.flow, attempts.c.ended_at)

waits = Table(
    "waits",
    metadata,
    Column("scope", String, nullable=False),
    Column("name", String, nullable=False),
    Column("until", Instant, nullable=False),
    Column("because", Text, nullable=False),
    Column("detail", Text),
    Column("since", Instant, nullable=False),
    PrimaryKeyConstraint("scope", "name"),
)
