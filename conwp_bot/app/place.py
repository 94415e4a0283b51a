"""Which data folder is meant: the real one, or the sandbox's.

A daemon with `--sandbox` keeps its data apart (`data/sandbox`), because a message that the sandbox took has not gone to anybody:
mixed with real ones, it would be counted as accepted, and real messages that wait would go to the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from conwp_bot.app.lock import is_held
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
    """Return where commands look and work: where a daemon is at work; without one the real data.

    Where only the sandbox's are, and no account has a key, they are what is meant. With a key a command without a daemon would send
    what waits there, tried out at the sandbox, to the real numbers.
    """
    trial = sandbox_settings(settings)
    if is_held(settings.data):
        return Place(settings, sandbox=False)
    if is_held(trial.data):
        return Place(trial, sandbox=True)
    keyless = all(account.api_key is None for account in settings.accounts.values())
    only_trial = keyless and not _has_database(settings.data) and _has_database(trial.data)
    return Place(trial if only_trial else settings, sandbox=only_trial)


def _has_database(data: Path) -> bool:
    return (data / "conwp-bot.db").exists()
