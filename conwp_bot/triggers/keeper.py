"""What becomes of a dropped file once its run has ended: archived or deleted, its rejected rows beside it."""

from __future__ import annotations

import csv
import errno
import os
import shutil
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from conwp_bot.flows.flow import AfterFile, TableFormat
from conwp_bot.model.event import Event
from conwp_bot.model.rows import Reject
from conwp_bot.triggers.taking import FILES, forget, sync_folder, taken_ids

ARCHIVE = "archive"

# What a spreadsheet would take for a formula when it opens the file of rejected rows.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FileKeeper:
    """Finishes taken files, in `data/files` and `data/archive`. Blocking: for a thread. Every call may be repeated after a crash."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def pending(self) -> list[str]:
        """Return the ids of events whose files are not finished, oldest first."""
        return taken_ids(self._data)

    def finish(self, event: Event, rejects: Iterable[Reject], *, ok: bool) -> Path | None:
        """Move an event's file to the archive and write its rejected rows beside it; returns where it is now.

        A trigger with `then: delete` loses the file instead (None), unless its run failed. Raises OSError; what is done stays done.
        """
        home = self._data / FILES / event.id
        source = self._data / event.data["taken"]
        if not source.is_file():
            if home.is_dir():
                forget(home)
            return None
        target = self._target(event)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._write_rejects(target.with_name(f"{target.name}.rejected.csv"), event, rejects)
        delete = event.data["archive"]["then"] == AfterFile.DELETE and ok
        if delete:
            source.unlink()
        else:
            _move(source, target)
        sync_folder(target.parent)
        forget(home)
        return None if delete else target

    def _target(self, event: Event) -> Path:
        name: str = event.data["archive"]["name"]
        target = self._data / ARCHIVE / name
        # Its own file is still at its source: one of this name is another's, of the same second.
        return target if not target.exists() else target.with_name(f"{event.id}-{target.name}")

    def _write_rejects(self, path: Path, event: Event, rejects: Iterable[Reject]) -> None:
        rejects = iter(rejects)
        first = next(rejects, None)
        if first is None:
            return
        table = event.data["table"]
        delimiter = table["delimiter"] if table["format"] == TableFormat.CSV else ","
        temporary = path.with_name(f".{event.id}.tmp")
        # With a mark, or a spreadsheet takes UTF-8 for its own country's encoding.
        with temporary.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(("row", "reason", "original"))
            for reject in chain((first,), rejects):
                writer.writerow((reject.number, _harmless(reject.reason), _harmless(reject.raw.rstrip("\r\n"))))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def archive_name(flow: str, stamp: str, name: str) -> str:
    """Return where a file goes below the archive: `FLOW/2026-12-31T090000-NAME`, the name cut where a file system would refuse it."""
    if len(name.encode()) > 180:
        dot = name.rfind(".")
        ending = name[dot:] if dot > 0 and len(name) - dot <= 12 else ""
        name = name.encode()[:160].decode("utf-8", "ignore") + ending
    return f"{flow}/{stamp}-{name}"


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The archive is a file system of its own.
        copy = target.with_name(f".{source.parent.name}.copy")
        with source.open("rb") as reader, copy.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1024 * 1024)
            writer.flush()
            os.fsync(writer.fileno())
        copy.replace(target)
        sync_folder(target.parent)
        source.unlink()
