"""What a person can ask of a running engine, and the shape of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

FlowStatus = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of firing a flow by hand: its event and run, as stored."""

    event: str
    run: str
    state: str
    reason: str | None


class Operations(Protocol):
    """The same for a running daemon and for this process alone; every error is a ConwpBotError."""

    daemon: bool

    async def flows(self) -> list[FlowStatus]:
        """Return each flow's id, state (live, broken, off), file, description, hash, triggers and problems."""

    async def fire(self, flow: str, *, payload: Any = None, file: Path | None = None) -> Fired:
        """Fire a flow with a payload, or with a file as if it had been dropped (it is copied, not taken)."""

    async def send(self, to: list[str], text: str, *, kind: str, media: str | None, account: str) -> Fired:
        """Send one text to these numbers, as a run of no flow."""

    async def devices(self, account: str) -> list[dict[str, Any]]:
        """Ask ConWP which phones stand behind an account; a request of its budget."""

    async def status(self, account: str) -> dict[str, Any]:
        """Ask ConWP for its own books on an account; a request of its budget."""

    async def reload(self) -> list[dict[str, Any]]:
        """Look at config and flows again; returns the problems."""

    async def info(self) -> dict[str, Any]:
        """Return pid, version, since when, and where it listens."""
