"""The queries of the hot path use their indexes: a table of any length costs them nothing."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection

from conwp_bot.model.budget import Limit
from conwp_bot.store import ledger, outbox, records
from conwp_bot.store.migrate import migrate_sqlite
from conwp_bot.store.sqlite import make_engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = Limit(1, timedelta(hours=1))
MOVE = outbox.Move("m", outbox.Cause.ACCEPT)

UNITS: dict[str, Callable[[Connection], object]] = {
    "heads": lambda conn: outbox.heads(conn, "a", NOW),
    "due": lambda conn: outbox.due(conn, "a", 0, "f", NOW, 10),
    "claim": lambda conn: outbox.claim(conn, ["m"], "l", NOW),
    "mark_in_flight": lambda conn: outbox.mark_in_flight(conn, ["m"], "l", "r", NOW, NOW),
    "move": lambda conn: outbox.move(conn, [MOVE], NOW),
    "expire": lambda conn: outbox.expire(conn, NOW),
    "next_expiry": outbox.next_expiry,
    "leases_over": lambda conn: outbox.leases_over(conn, NOW),
    "account_usage": lambda conn: ledger.account_usage(conn, "a", LIMIT, NOW),
    "flow_usage": lambda conn: ledger.flow_usage(conn, "f", LIMIT, NOW),
    "last_reserved_at": lambda conn: ledger.last_reserved_at(conn, "a"),
    "finish": lambda conn: ledger.finish(conn, "r", NOW, "x", ""),
    "running_runs": records.running_runs,
    "load_run": lambda conn: records.load_run(conn, "r"),
}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_of_the_hot_path_searches_and_never_scans(tmp_path: Path, name: str) -> None:
    migrate_sqlite(tmp_path / "a.db")
    engine = make_engine(tmp_path / "a.db")
    seen: list[tuple[str, object]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def remember(_conn: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        seen.append((statement, parameters))

    with engine.begin() as connection:
        UNITS[name](connection)
    engine.dispose()
    plain = sqlite3.connect(tmp_path / "a.db")
    for statement, parameters in seen:
        if statement.split()[0] not in {"SELECT", "UPDATE", "DELETE"}:
            continue
        plan = [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]  # type: ignore[arg-type]
        whole = [
            step for step in plan if step.startswith("SCAN") and "USING" not in step and "CONSTANT ROW" not in step
        ]
        tables = [
            step
            for step in whole
            if any(table in step for table in ("messages", "requests", "attempts", "runs", "events"))
        ]
        assert not tables, f"{statement}\n{plan}"
    plain.close()


def test_a_budget_query_looks_at_its_span_and_not_at_the_account_s_history(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / "a.db")
    plain = sqlite3.connect(tmp_path / "a.db")
    for statement in (str(ledger._ACCOUNT_USED), str(ledger._FLOW_USED)):
        plan = [
            row[3]
            for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", {"account": "a", "flow": "f", "since": 1})
        ]
        ranges = [step for step in plan if "ended_at>?" in step]
        assert len(ranges) == 1, plan
    plain.close()
