"""Where dropped files are looked for, and which of what lies there is one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path, PurePosixPath

_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp", "~")
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file that lies in a drop folder, as it was seen; another size, time or inode is another file."""

    folder: Path
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @property
    def path(self) -> Path:
        return self.folder / self.name


@dataclass(frozen=True, slots=True)
class DropPattern:
    """A pattern, taken apart: the literal folder before the first wild part, the parts of folders behind it, the file's name."""

    base: Path
    folders: tuple[re.Pattern[str], ...]
    name: re.Pattern[str]

    @classmethod
    def parse(cls, pattern: str, root: Path) -> DropPattern:
        """Read a pattern that is relative to `root`, or absolute; raises ValueError for one that leaves its folder."""
        path = PurePosixPath(pattern)
        parts = path.parts[1:] if path.is_absolute() else path.parts
        if not parts or pattern.endswith("/"):
            raise ValueError(f"{pattern!r} names no file")
        if ".." in parts or any("**" in part for part in parts):
            raise ValueError(f"{pattern!r}: neither `..` nor `**` can be used in a file trigger")
        *folders, name = parts
        literal = next((index for index, part in enumerate(folders) if _WILD & set(part)), len(folders))
        base = (Path(path.root) if path.is_absolute() else root).joinpath(*folders[:literal])
        return cls(base, tuple(re.compile(translate(part)) for part in folders[literal:]), re.compile(translate(name)))

    def find(self) -> Iterator[Found]:
        """Yield the files that match now, in no order. Links are never followed below the literal folder.

        Raises OSError when that one cannot be read; others that cannot are passed over.
        """
        for folder in self._matching(self.base, 0):
            try:
                yield from self._files(folder)
            except OSError:
                if folder == self.base:
                    raise

    def _matching(self, folder: Path, depth: int) -> Iterator[Path]:
        if depth == len(self.folders):
            yield folder
            return
        try:
            with os.scandir(folder) as entries:
                inner = [
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                    and self.folders[depth].match(entry.name)
                    and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            if depth == 0:
                raise
            return
        for name in inner:
            yield from self._matching(folder / name, depth + 1)

    def _files(self, folder: Path) -> Iterator[Found]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not self.name.match(entry.name) or is_unfinished(entry.name):
                    continue
                try:
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    seen = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield found_as(folder, entry.name, seen)


def found_as(folder: Path, name: str, seen: os.stat_result) -> Found:
    """Return a file as `stat` saw it."""
    return Found(folder, name, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_dev)


def is_unfinished(name: str) -> bool:
    """Say whether a name is that of a file in the making: hidden, temporary, or an editor's lock."""
    return name.startswith((".", "~$")) or name.lower().endswith(_UNFINISHED)


def is_plain_name(name: str) -> bool:
    """Say whether a name can be stored and shown: UTF-8 without control characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)


def drop_folder(pattern: str, root: Path) -> Path:
    """Return the folder that a pattern's files are dropped into (or whose folders they are); raises ValueError."""
    return DropPattern.parse(pattern, root).base
