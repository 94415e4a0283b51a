"""One daemon works on a database: a lock on a file of the data folder, held for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conwp_bot.errors import AlreadyRunning

LOCK_NAME = "conwp-bot.lock"


@contextmanager
def data_lock(data: Path) -> Iterator[None]:
    """Hold the lock of a data folder, which is made if need be; raises AlreadyRunning with the holder's pid.

    The kernel gives the lock back when the process ends, however it ends, so there is no stale lock to clean up.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(str(data), _read_pid(descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _read_pid(descriptor: int) -> int | None:
    try:
        return int(os.pread(descriptor, 20, 0))
    except ValueError:
        return None
