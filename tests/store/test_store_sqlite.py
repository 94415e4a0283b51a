"""The seam on real SQLite: groups, failures, durability, versions."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.engine import Connection

from conwp_bot.errors import StoreBroken, StoreBusy, StoreClosed
from conwp_bot.store import sqlite as sqlite_module
from conwp_bot.store.migrate import migrate_sqlite, open_sqlite, upgrade
from conwp_bot.store.schema import metadata
from conwp_bot.store.sqlite import SqliteStore, make_engine


def with_store(path: Path, body: Callable[[SqliteStore], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        store = await open_sqlite(path)
        try:
            return await body(store)
        finally:
            await store.close()

    return asyncio.run(main())


def put(conn: Connection, name: str, value: str = "x") -> str:
    conn.execute(text("INSERT INTO meta VALUES (:name, :value)"), {"name": name, "value": value})
    return name


def names(conn: Connection) -> list[str]:
    return list(conn.execute(text("SELECT name FROM meta ORDER BY name")).scalars())


def test_what_do_returned_for_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def body(store: SqliteStore) -> None:
        assert await store.do(put, "one") == "one"
        other = sqlite3.connect(path)
        assert other.execute("SELECT name FROM meta").fetchall() == [("one",)]
        other.close()
        assert await store.read(names) == ["one"]

    with_store(path, body)


def test_a_unit_that_fails_undoes_itself_and_not_its_neighbours(tmp_path: Path) -> None:
    def half(conn: Connection) -> None:
        put(conn, "half")
        raise LookupError("no")

    async def body(store: SqliteStore) -> None:
        results = await asyncio.gather(
            store.do(put, "a"), store.do(half), store.do(put, "b"), store.do(half), return_exceptions=True
        )
        assert [type(result) for result in results] == [str, LookupError, str, LookupError]
        assert await store.read(names) == ["a", "b"]

    with_store(tmp_path / "a.db", body)


def test_what_queues_while_a_group_commits_is_the_next_group(tmp_path: Path) -> None:
    commits: list[int] = []

    async def body(store: SqliteStore) -> None:
        original = store._commit

        def counting(group: list[Any]) -> None:
            commits.append(len(group))
            original(group)

        store._commit = counting  # type: ignore[method-assign]
        await asyncio.gather(*(store.do(put, f"n{i:03}") for i in range(300)))
        assert len(await store.read(names)) == 300

    with_store(tmp_path / "a.db", body)
    assert len(commits) < 30


def test_a_caller_that_gives_up_does_not_undo_its_unit(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        task = asyncio.create_task(store.do(put, "kept"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.do(put, "later")
        assert await store.read(names) == ["kept", "later"]

    with_store(tmp_path / "a.db", body)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async def body(store: SqliteStore) -> None:
        with pytest.raises(StoreBroken, match="readonly"):
            await store.read(put, "x")

    with_store(tmp_path / "a.db", body)


def test_a_full_queue_says_busy_and_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "QUEUE", 3)

    async def body(store: SqliteStore) -> None:
        results = await asyncio.gather(*(store.do(put, f"n{i}") for i in range(5)), return_exceptions=True)
        assert [isinstance(result, StoreBusy) for result in results] == [False] * 3 + [True] * 2
        assert len(await store.read(names)) == 3

    with_store(tmp_path / "a.db", body)


def test_a_closed_store_takes_nothing_more_and_what_was_queued_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def main() -> None:
        store = await open_sqlite(path)
        waiting = [asyncio.create_task(store.do(put, f"n{i}")) for i in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert len(await asyncio.gather(*waiting)) == 20
        with pytest.raises(StoreClosed):
            await store.do(put, "late")

    asyncio.run(main())
    with_store(path, lambda store: store.read(lambda conn: None))
    assert not path.with_name("a.db-wal").exists()


def test_the_writer_is_durable_and_the_only_one_to_checkpoint(tmp_path: Path) -> None:
    def pragmas(conn: Connection) -> tuple[Any, ...]:
        return tuple(
            conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "query_only", "wal_autocheckpoint")
        )

    async def body(store: SqliteStore) -> None:
        assert await store.do(pragmas) == ("wal", 2, 0, sqlite_module.WAL_PAGES)
        assert (await store.read(pragmas))[2:] == (1, 0)

    with_store(tmp_path / "a.db", body)


def test_the_steps_and_the_tables_give_the_same_schema(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "steps.db")
    upgrade(engine, "steps.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    migrate_sqlite(tmp_path / "steps.db")  # and the program takes it as its newest


def test_a_database_of_a_newer_program_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    migrate_sqlite(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreBroken, match="newer conwp-bot") as caught:
        migrate_sqlite(path)
    assert caught.value.hint


def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StoreBroken, match="not a database"):
        migrate_sqlite(path)
    assert path.read_bytes().startswith(b"not a database")
    other = tmp_path / "b.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE somebody (x)")
    connection.close()
    with pytest.raises(StoreBroken, match="not conwp-bot's"):
        migrate_sqlite(other)
