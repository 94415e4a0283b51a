"""Which folders to watch so that a change of the config or of a flow is seen: links, missing folders and all.

Watching a folder watches what it is now, not its name. So each folder is listed with its identity, and so is each folder that a link
on the way stands in: a release that is switched by a link, a folder that appears later, a mounted ConfigMap.
"""

from __future__ import annotations

import os
from pathlib import Path

from conwp_bot.settings import Settings
from conwp_bot.triggers.watching import Identity

DEEPEST = 16
"""Flows are not looked for deeper than this either."""

LINKS = 40
"""How many links the kernel follows on one path."""


def watched_folders(settings: Settings) -> dict[Path, tuple[Identity, bool]]:
    """Return the folders by path, each with its identity and False: none is watched with what is inside, its folders are listed too.

    Blocking. The data folder is left out wherever it lies: the database in it changes all the time.
    """
    found: dict[Path, tuple[Identity, bool]] = {}
    for path in (settings.file, settings.flows):
        for folder in _on_the_way(path):
            _add(found, folder)
    _add(found, settings.root)
    _below(found, settings.flows, str(settings.data), ())
    return found


def _on_the_way(path: Path) -> list[Path]:
    """Return the folders in which the links of a path stand, and where a part of it is missing, the last one that is there."""
    folders: list[Path] = []
    links = 0
    done = Path(path.anchor)
    left = list(reversed(path.parts[1:]))
    while left:
        part = left.pop()
        here = done / part
        try:
            target = Path(os.readlink(here))  # noqa: PTH115 - the text as it stands, one step
        except FileNotFoundError:
            folders.append(done)
            break
        except OSError:  # no link
            done = here
            continue
        folders.append(done)
        links += 1
        if links > LINKS:
            break
        if target.is_absolute():
            done = Path(target.anchor)
        left.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return folders


def _below(found: dict[Path, tuple[Identity, bool]], folder: Path, data: str, around: tuple[Identity, ...]) -> None:
    """Add a folder of flows and those in it; a link to a file adds the folder that the file really stands in."""
    identity = _add(found, folder)
    if identity is None or identity in around or len(around) >= DEEPEST:
        return
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir()
        except OSError:
            continue
        if is_folder:
            if entry.path != data:
                _below(found, Path(entry.path), data, (*around, identity))
        elif entry.is_symlink():
            _add(found, Path(os.path.realpath(entry.path)).parent)


def _add(found: dict[Path, tuple[Identity, bool]], folder: Path) -> Identity | None:
    try:
        seen = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    identity = (seen.st_dev, seen.st_ino)
    found[folder] = identity, False
    return identity
