"""A webhook's request and answer, free of any web framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class HookRequest:
    """What came in: `headers` by lower-case name, `query` by name (the last one wins), `body` whole and under the cap."""

    name: str
    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What goes back: a JSON body and a status."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class HookReceiver(Protocol):
    """Turns a webhook's request into an event."""

    async def receive(self, request: HookRequest) -> HookAnswer:
        """Verify, store, answer: 202 only after the commit."""

    def knows(self, name: str) -> bool:
        """Say whether a live flow listens under this name, so that a body for nobody is not even read."""
