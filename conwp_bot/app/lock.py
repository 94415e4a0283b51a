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
    for folder in reversed([data, *data.parents]):  # each with our mode: `parents=True` would give them the default one
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=0o700)
    path = data / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor):
            raise AlreadyRunning(str(data), _read_pid(descriptor))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(data: Path) -> bool:
    """Say whether somebody holds the lock of a data folder; who only looks makes nothing."""
    try:
        descriptor = os.open(data / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> bool:
    """Take the lock; False when somebody else holds it.

    A look (`is_held`) holds it shared for a moment. A daemon that starts in that moment must not take it for another daemon's: systemd
    would leave it down. Whoever can share the lock shares it with a look, and tries again.
    """
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.sched_yield()


def _read_pid(descriptor: int) -> int | None:
    try:
        return int(os.pread(descriptor, 20, 0))
    except ValueError:
        return None
