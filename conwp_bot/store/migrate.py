"""Bring a database to the newest schema: made whole when it is new, step by step when it is old, refused when it is not ours.

Alembic takes half a second to import, so only an old database pays for it; a test holds that both ways give the same tables.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection, Engine

from conwp_bot.errors import StoreBroken
from conwp_bot.store.schema import metadata
from conwp_bot.store.sqlite import APPLICATION_ID, SqliteStore, make_engine

HEAD = "0001"
"""The newest revision in `migrations/versions`."""

_VERSION_TABLE = "alembic_version"


async def open_sqlite(path: Path) -> SqliteStore:
    """Open (or make) the database at `path` and bring it to the newest schema; raises StoreBroken with what is wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    migrate_sqlite(path)
    return SqliteStore(path)


def migrate_sqlite(path: Path) -> None:
    """Bring the file to the newest schema. Blocks; the caller holds the data folder's lock."""
    engine = make_engine(path)
    try:
        migrate(engine, str(path))
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except StoreBroken:
        raise
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        raise StoreBroken(
            f"{path} cannot be opened: {cause}",
            hint="if the file is damaged, keep it, and put back a backup or move it away",
        ) from error
    finally:
        engine.dispose()


def migrate(engine: Engine, name: str) -> None:
    """Bring a database to HEAD; `name` is what errors call it."""
    with engine.begin() as connection:
        found = _revision(connection, name)
        if found is None:
            metadata.create_all(connection)
            connection.execute(text(f"CREATE TABLE {_VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text(f"INSERT INTO {_VERSION_TABLE} VALUES (:head)"), {"head": HEAD})  # noqa: S608
            return
    if found != HEAD:
        upgrade(engine, name)


def _revision(connection: Connection, name: str) -> str | None:
    """Return the database's revision, None for an empty one; raises StoreBroken for tables that are not ours."""
    tables = set(inspect(connection).get_table_names())
    if _VERSION_TABLE in tables:
        revision: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
        return revision
    if tables:
        raise StoreBroken(
            f"{name} holds tables that are not conwp-bot's ({', '.join(sorted(tables)[:3])}…)",
            hint="give `data` a folder of its own",
        )
    return None


def upgrade(engine: Engine, name: str, revision: str = "head") -> None:
    """Run the steps that are missing, in one transaction; raises StoreBroken when the database is newer than this program."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except CommandError as error:
            raise StoreBroken(
                f"{name} was made by a newer conwp-bot ({error})", hint="upgrade conwp-bot, or use another data folder"
            ) from error
