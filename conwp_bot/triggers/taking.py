"""Taking a dropped file: it becomes ours in one rename, and a crash at any point leaves it either there or here.

`data/files/EVENT/` holds a taken file and `.origin.json`, which says where it came from. The note is durable before the file moves, so
that a file found there after a crash is known; the folder stays until the file's run has ended (`keeper.py`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from conwp_bot.triggers.folders import Found, found_as

FILES = "files"
ORIGIN = ".origin.json"
_COPY = ".copy"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose file it is and where it came from. `path` is as the event shows it, `source` absolute (empty: not ours to remove)."""

    flow: str
    trigger: str
    path: str
    source: str
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def key(self) -> str:
        """What makes this very drop recognisable: a file that comes again, by whatever way, has another time of change."""
        return f"file:{self.path}:{self.inode}:{self.mtime_ns}:{self.ctime_ns}:{self.size}"


class NotTaken(Exception):
    """The file stays where it is; why."""


class Changed(NotTaken):
    """It is not the file that was seen: it is being written, or has been replaced."""


def take(data: Path, event: str, found: Found, origin: Origin, *, follow: bool) -> Path:
    """Move a found file to `data/files/EVENT/`, durably; returns its new path. Blocking.

    `follow` says whether the last part of its folder may be a link (the author named it). Raises NotTaken, Changed, OSError.
    """
    home = data / FILES / event
    home.mkdir(parents=True, mode=0o700)
    try:
        write_origin(home, origin)
        sync_folder(home)
        sync_folder(home.parent)
        folder = os.open(found.folder, os.O_RDONLY | os.O_DIRECTORY | (0 if follow else os.O_NOFOLLOW))
        try:
            target = home / found.name
            _move(folder, found, target)
            sync_folder(home)
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        if not (home / found.name).exists():
            forget(home)
        raise
    return target


def write_origin(home: Path, origin: Origin) -> None:
    """Write the note of where a file comes from, durably."""
    with (home / ORIGIN).open("x", encoding="utf-8") as file:
        json.dump(asdict(origin), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def _move(folder: int, found: Found, target: Path) -> None:
    try:
        # Not to wait for a writer, should it have become a pipe; and not to take what we could not read afterwards.
        source = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise Changed("it is gone") from None
    except PermissionError:
        raise NotTaken("it cannot be read: permission denied") from None
    except OSError as error:
        raise Changed(f"it cannot be opened: {error.strerror}") from None
    try:
        _check_same(os.fstat(source), found)
        try:
            os.rename(found.name, target, src_dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EXDEV:
                _copy(source, folder, found, target)
                return
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise NotTaken(f"it cannot be moved away: {os.strerror(error.errno)}") from None
            raise
        try:
            _check_same(target.lstat(), found)
        except Changed:
            # Replaced between the look and the rename: back with it, unless there is already another.
            os.link(target, found.name, dst_dir_fd=folder, follow_symlinks=False)
            target.unlink()
            raise
    finally:
        os.close(source)


def _copy(source: int, folder: int, found: Found, target: Path) -> None:
    """Take from another file system: copy, make durable, and only then remove the original."""
    with os.fdopen(os.dup(source), "rb") as reader:
        write_copy(reader, target, check=lambda: _check_same(os.fstat(source), found))
    sync_folder(target.parent)
    os.unlink(found.name, dir_fd=folder)


def write_copy(reader: BinaryIO, target: Path, check: Callable[[], None] = lambda: None) -> None:
    """Write a whole durable file or none at all; `check` may raise before the copy gets its name."""
    copy = target.with_name(_COPY)
    try:
        with copy.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1024 * 1024)
            writer.flush()
            os.fsync(writer.fileno())
        check()
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    copy.rename(target)


def _check_same(seen: os.stat_result, found: Found) -> None:
    now = found_as(found.folder, found.name, seen)
    same = (now.inode, now.device, now.size, now.mtime_ns) == (found.inode, found.device, found.size, found.mtime_ns)
    if not stat.S_ISREG(seen.st_mode) or not same:
        raise Changed("it has changed since it was seen")


@dataclass(frozen=True, slots=True)
class Taken:
    """A file in `data/files/EVENT/`."""

    event: str
    origin: Origin
    path: Path


def taken_files(data: Path) -> Iterator[Taken]:
    """Yield what was taken and not finished, oldest first; what a crash left half done is put right. Blocking.

    A note without its file is removed: the file was not moved yet. An original whose copy is complete is removed.
    """
    for home in _homes(data):
        try:
            origin = Origin(**json.loads((home / ORIGIN).read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            forget(home)
            continue
        path = home / origin.name
        if not path.is_file():
            forget(home)
            continue
        _remove_copied(origin)
        yield Taken(home.name, origin, path)


def _remove_copied(origin: Origin) -> None:
    """Remove an original that is still there, unchanged, although its copy is complete."""
    try:
        seen = Path(origin.source).lstat() if origin.source else None
    except OSError:
        return
    if seen is not None:
        now = seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
        if now == (origin.inode, origin.size, origin.mtime_ns, origin.ctime_ns):
            Path(origin.source).unlink()


def taken_ids(data: Path) -> list[str]:
    """Return the events that have a folder, oldest first."""
    return [home.name for home in _homes(data)]


def discard(taken: Taken) -> None:
    """Remove a taken file whose content is kept under another event. Blocking."""
    taken.path.unlink(missing_ok=True)
    forget(taken.path.parent)


def _homes(data: Path) -> list[Path]:
    try:
        return sorted(home for home in (data / FILES).iterdir() if home.is_dir())
    except FileNotFoundError:
        return []


def forget(home: Path) -> None:
    """Remove a taken file's folder when only our notes are in it, or a copy that was not finished; anything else stays, for a person.

    After a start two are at it, who puts files right and who finishes them: what the other has removed is removed.
    """
    ours = {ORIGIN, _COPY}
    try:
        if any(entry.name not in ours for entry in home.iterdir()):
            return
        for name in ours:
            (home / name).unlink(missing_ok=True)
        home.rmdir()
    except FileNotFoundError:
        return
    sync_folder(home.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
