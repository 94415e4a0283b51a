"""SQLite behind the seam: one connection that writes, on one thread, committing in groups; readers beside it.

Exactly one connection writes and checkpoints, because SQLite before 3.51.3 can corrupt a WAL that two do. `synchronous=FULL`:
what `do` returned for is on the disk. Units that queued while a group committed are the next group; a group that fails is rolled
back and its units are run one by one, so that a bad unit costs its neighbours only time.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from conwp_bot.errors import StoreBroken, StoreBusy, StoreClosed

P = ParamSpec("P")
T = TypeVar("T")

GROUP = 512
"""How many units one commit takes at most: enough to amortise the fsync, few enough that nobody waits long for neighbours."""

QUEUE = 8192
"""How many units may wait before callers are told that the store is busy."""

READERS = 2
WAL_PAGES = 4000
"""The WAL is copied back once it has this many pages (16 MiB), or when the writer has been idle for a moment."""

IDLE_CHECKPOINT = 2.0
APPLICATION_ID = 0x434F4E57  # "CONW"


@dataclass(slots=True)
class _Work:
    unit: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


def make_engine(path: Path, *, readonly: bool = False) -> Engine:
    """Return an engine whose connections have our pragmas; one for writing begins IMMEDIATE, one for reading cannot write."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver never begins by itself: we say BEGIN
        run = connection.execute
        run("PRAGMA busy_timeout = 5000")
        run("PRAGMA mmap_size = 0")
        run("PRAGMA temp_store = MEMORY")
        if readonly:
            run("PRAGMA query_only = ON")
            run("PRAGMA wal_autocheckpoint = 0")
            return
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        run("PRAGMA journal_size_limit = 67108864")
        run("PRAGMA cache_size = -16000")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine


class SqliteStore:
    """The embedded store. Made by `open_sqlite`, used from the event loop that opened it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._queued = 0
        self._closing = False
        self._writer_engine = make_engine(path)
        self._reader_engine = make_engine(path, readonly=True)
        self._connection = self._writer_engine.connect()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._local = threading.local()
        self._reader_connections: list[Connection] = []
        self._thread = threading.Thread(target=self._write_forever, name="store-write", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many units wait or are being committed."""
        return self._queued

    def submit(
        self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Queue a unit for the next group. Errors: see `Store.submit`."""
        if self._closing:
            raise StoreClosed("the store is closed")
        if self._queued >= QUEUE:
            raise StoreBusy(f"the store has {self._queued} units waiting")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queued += 1
        self._queue.put(_Work(lambda conn: unit(conn, *args, **kwargs), future))
        return future

    async def do(self, unit: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit in the next group; returns once it is on the disk. Errors: see `Store.do`."""
        future = self.submit(unit, *args, **kwargs)
        try:
            # Shielded: a caller that is cancelled does not undo what may already be committing.
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_retrieve)
            raise

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query on a reader's connection, in its own snapshot."""
        if self._closing:
            raise StoreClosed("the store is closed")

        def work() -> T:
            connection = self._reader()
            with connection.begin():
                return query(connection, *args, **kwargs)

        try:
            return await self._loop.run_in_executor(self._readers, work)
        except DatabaseError as error:
            raise _broken(error) from error

    async def close(self) -> None:
        """Commit what is queued, checkpoint, close."""
        if self._closing:
            return
        self._closing = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        await self._loop.run_in_executor(None, self._readers.shutdown)
        for connection in self._reader_connections:
            connection.close()
        self._connection.close()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._reader_engine.connect()
            self._local.connection = connection
            self._reader_connections.append(connection)
        return connection

    # ---- the writer's thread

    def _write_forever(self) -> None:
        dirty = False
        while True:
            try:
                work = self._queue.get(timeout=IDLE_CHECKPOINT if dirty else None)
            except queue.Empty:
                self._checkpoint("PASSIVE")
                dirty = False
                continue
            if work is None:
                self._checkpoint("TRUNCATE")
                return
            group = [work]
            last = False
            while len(group) < GROUP:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                group.append(more)
            self._commit(group)
            dirty = True
            self._loop.call_soon_threadsafe(self._deliver, group)
            if last:
                self._checkpoint("TRUNCATE")
                return

    def _commit(self, group: list[_Work]) -> None:
        """Run and commit a group; on any failure, each of its units alone."""
        try:
            with self._connection.begin():
                for work in group:
                    work.result = work.unit(self._connection)
        except Exception as error:
            if len(group) == 1:
                group[0].error = _broken(error) if isinstance(error, OperationalError) else error
                return
            for work in group:
                work.result = None
                self._commit([work])

    def _deliver(self, group: list[_Work]) -> None:
        """Wake the callers, in the loop."""
        self._queued -= len(group)
        for work in group:
            if work.future.done():
                continue
            if work.error is not None:
                work.future.set_exception(work.error)
            else:
                work.future.set_result(work.result)

    def _checkpoint(self, mode: str) -> None:
        """Copy the WAL back; past SQLAlchemy, whose BEGIN would be in the way."""
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except sqlite3.DatabaseError:  # the next one will do; a real fault shows at the next commit
            pass


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at an abandoned result, so that its error is not reported as never retrieved."""
    if not future.cancelled():
        future.exception()


def _broken(error: Exception) -> StoreBroken:
    cause = getattr(error, "orig", None) or error
    return StoreBroken(
        f"the database cannot be used: {cause}", hint="check the disk's free space and the file's rights"
    )
