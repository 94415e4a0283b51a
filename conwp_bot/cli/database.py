"""Reading the database file beside a running daemon: nothing is locked, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from conwp_bot.errors import ConwpBotError, StoreBroken

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from conwp_bot.settings import Settings

DATABASE = "conwp-bot.db"
T = TypeVar("T")


def data_folder(settings: Settings) -> Path:
    """Return the data folder that is in use: the daemon's, which may be the sandbox's."""
    from conwp_bot.app.place import place_in_use

    return place_in_use(settings).settings.data


@contextmanager
def reading(data: Path) -> Iterator[Connection | None]:
    """Open a snapshot of the database in a data folder; None when there is none yet. Raises StoreBroken."""
    path = data / DATABASE
    if not path.exists():
        yield None
        return
    from sqlalchemy.exc import DatabaseError, DBAPIError

    from conwp_bot.store.sqlite import make_engine

    engine = make_engine(path, readonly=True)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except (DatabaseError, DBAPIError) as error:
        raise StoreBroken(
            f"{path} cannot be read: {error.orig or error}",
            hint="is it yours to read, and of this conwp-bot's version? `conwp-bot run` brings an older one up to date",
        ) from error
    finally:
        engine.dispose()


def read(settings: Settings, query: Callable[[Connection], T], default: T) -> T:
    """Run a query on the database in use; `default` when nothing was stored yet."""
    with reading(data_folder(settings)) as connection:
        return default if connection is None else query(connection)


def one_beginning(found: list[str], typed: str, what: str) -> str:
    """Return the one id that begins as typed; raises ConwpBotError when there is none or more than one."""
    if not found:
        raise ConwpBotError(f"no {what} has an id that begins with {typed!r}", hint=f"`conwp-bot {what}s` lists them")
    if len(found) > 1 and typed not in found:
        raise ConwpBotError(f"several {what}s begin with {typed!r}", hint=f"e.g. {', '.join(found)}")
    return typed if typed in found else found[0]
