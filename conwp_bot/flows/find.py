"""Which files under a folder are flows, and what each is called."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conwp_bot.model.problem import Problem

ENDINGS = (".yaml", ".yml")
_DEEPEST = 16
_PART = re.compile(r"\w[\w.-]*")
_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A flow's file; `stamp` changes when the file does (times in ns, size, inode), as far as the filesystem tells."""

    path: str
    stamp: tuple[int, ...]


@dataclass(slots=True)
class Listing:
    """The files by flow id, and what was wrong on the way; `unreadable` are folders (as id prefixes) that could not be seen."""

    files: dict[str, Found] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def hides(self, flow_id: str) -> bool:
        """Say whether a flow may stand in a folder that could not be seen."""
        return any(flow_id.startswith(prefix) for prefix in self.unreadable)


def find_flow_files(folder: Path, shown: Callable[[str], str] = str) -> Listing:
    """List the flow files under `folder`, in the order of their names.

    A flow's id is its path without the ending. Names that begin with `_`, `.`, `~` or `#` are no flows (macros, editors'
    temporary files), nor are folders so named. Links to files and folders are followed, a folder within itself is not.
    """
    listing = Listing()
    _Search(listing, shown).folder(str(folder), "", ())
    return listing


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file's states apart; ctime too, because some tools put mtime back."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


class _Search:
    def __init__(self, listing: Listing, shown: Callable[[str], str]) -> None:
        self._listing = listing
        self._shown = shown

    def folder(self, path: str, prefix: str, around: tuple[tuple[int, int], ...]) -> None:
        """Search one folder; `around` are the folders it stands in, by device and inode."""
        try:
            status = os.stat(path)  # noqa: PTH116
            me = (status.st_dev, status.st_ino)
            if me in around:
                return  # a link to a folder around it: what is in there has been seen
            if len(around) >= _DEEPEST:
                self._note(path, f"folders are nested deeper than {_DEEPEST}")
                return
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self._listing.unreadable.append(prefix)
            what = (
                "there is no such folder"
                if isinstance(error, FileNotFoundError)
                else f"the folder cannot be read: {error.strerror or error}"
            )
            self._note(path, what)
            return
        for entry in entries:
            if entry.name[0] in "_.~#":
                continue
            stem, ending = os.path.splitext(entry.name)  # noqa: PTH122 - a Path for each of thousands costs more
            is_flow = ending.lower() in ENDINGS
            try:
                status = entry.stat()
            except OSError as error:
                if (is_flow and not isinstance(error, FileNotFoundError)) or (is_flow and entry.is_symlink()):
                    self._unreadable_file(entry, f"{prefix}{stem}", error)
                continue
            if stat.S_ISDIR(status.st_mode):
                self.folder(entry.path, f"{prefix}{entry.name}/", (*around, me))
            elif is_flow:
                self._file(entry, f"{prefix}{stem}", status)

    def _file(self, entry: os.DirEntry[str], written: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self._note(entry.path, "this is no regular file")  # a pipe would block whoever opens it
            return
        flow_id = unicodedata.normalize("NFC", written)  # macOS writes ö as two characters
        wrong = _wrong_id(flow_id)
        if wrong:
            self._note(entry.path, *wrong)
            return
        if flow_id in self._listing.files:
            other = self._shown(self._listing.files[flow_id].path)
            self._note(
                entry.path, f'the flow "{flow_id}" has another file already: {other}', "remove or rename one of them"
            )
            return
        self._listing.files[flow_id] = Found(entry.path, stamp_of(status))

    def _unreadable_file(self, entry: os.DirEntry[str], flow_id: str, error: OSError) -> None:
        self._listing.unreadable.append(flow_id)
        self._note(entry.path, f"the file cannot be read: {error.strerror or error}")

    def _note(self, path: str, message: str, hint: str | None = None) -> None:
        self._listing.problems.append(Problem(_printable(self._shown(path)), 1, 1, "", message, hint))


def _wrong_id(flow_id: str) -> tuple[str, str] | None:
    if len(flow_id) > _LONGEST_ID:
        return f"the path is longer than {_LONGEST_ID} characters", "shorten the names"
    for part in flow_id.split("/"):
        if not _PART.fullmatch(part):
            return (
                f'"{_printable(part)[:60]}" is no name for a flow',
                "letters, digits, _ . and -, no blanks: rename it",
            )
    return None


def _printable(path: str) -> str:
    """Write a path so that it is one line of valid text, whatever the filesystem holds."""
    return "".join(char if char.isprintable() else "?" for char in path)
