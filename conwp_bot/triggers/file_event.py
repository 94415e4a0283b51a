"""What a dropped file's event says of it, however the file came: dropped, or handed over by a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conwp_bot.flows.flow import FileTrigger, Flow
from conwp_bot.triggers.keeper import archive_name
from conwp_bot.triggers.tables import inspect_table
from conwp_bot.triggers.taking import FILES, Origin, forget, sync_folder, write_copy, write_origin


def file_event_data(
    flow: Flow, trigger: FileTrigger, event: str, origin: Origin, path: Path, now: datetime
) -> dict[str, Any]:
    """Return the event's `data` for a file that lies at `path` and is called as `origin` says. Reads the file; raises OSError."""
    stamp = now.astimezone(flow.timezone).strftime("%Y-%m-%dT%H%M%S")
    return {
        "file": {
            "name": origin.name,
            "path": origin.path,
            "size": origin.size,
            "modified_at": datetime.fromtimestamp(origin.mtime_ns / 1e9, UTC),
        },
        "taken": f"{FILES}/{event}/{origin.name}",
        "table": inspect_table(path, flow, trigger).as_data(),
        "archive": {"then": trigger.then.value, "name": archive_name(flow.id, stamp, origin.name)},
    }


def origin_of(flow: Flow, trigger: FileTrigger, source: Path) -> Origin:
    """Say where a file that a person names comes from. Raises OSError."""
    seen = source.stat()
    return Origin(
        flow=flow.id,
        trigger=trigger.id,
        path=str(source),
        source="",  # its original is the person's: nothing of ours ever removes it
        name=source.name,
        size=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
        ctime_ns=seen.st_ctime_ns,
        inode=seen.st_ino,
    )


def copy_in(data: Path, source: Path, flow: Flow, trigger: FileTrigger, event: str, now: datetime) -> dict[str, Any]:
    """Copy a file into `data/files/EVENT/`, durably, and return its event's data. Blocking; raises OSError.

    It is a taken file from here on: should we crash before its event is stored, the next start stores it.
    """
    origin = origin_of(flow, trigger, source)
    home = data / FILES / event
    home.mkdir(parents=True, mode=0o700)
    write_origin(home, origin)
    target = home / origin.name
    try:
        with source.open("rb") as reader:
            write_copy(reader, target)
    except BaseException:
        forget(home)
        raise
    sync_folder(home)
    sync_folder(home.parent)
    return file_event_data(flow, trigger, event, origin, target, now)
