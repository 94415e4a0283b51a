"""Which data folder is meant: the real one, or the sandbox's.

A daemon with `--sandbox` keeps its data apart (`data/sandbox`), because a message that the sandbox took has not gone to anybody:
mixed with real ones, it would be counted as accepted, and real messages that wait would go to the sandbox.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, replace
from pathlib import Path

from conwp_bot.app.lock import LOCK_NAME
from conwp_bot.settings import Settings

SANDBOX_FOLDER = "sandbox"


@dataclass(frozen=True, slots=True)
class Place:
    """The settings with the data folder that is meant."""

    settings: Settings
    sandbox: bool


def sandbox_settings(settings: Settings) -> Settings:
    """Return the settings with the sandbox's own data folder."""
    return replace(settings, data=settings.data / SANDBOX_FOLDER)


def place_in_use(settings: Settings) -> Place:
    """Return where commands look: where a daemon is at work; without one the real data, unless there is only the sandbox's."""
    trial = sandbox_settings(settings)
    if _is_held(settings.data):
        return Place(settings, sandbox=False)
    if _is_held(trial.data):
        return Place(trial, sandbox=True)
    only_trial = not _has_database(settings.data) and _has_database(trial.data)
    return Place(trial if only_trial else settings, sandbox=only_trial)


def _has_database(data: Path) -> bool:
    return (data / "conwp-bot.db").exists()


def _is_held(data: Path) -> bool:
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
