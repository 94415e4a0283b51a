"""What an attempt meant: a small closed set.

`proved not sent` is what `Limited`, `Refused`, `Invalid` and `Failed` have in common; `Unknown` is everything that is neither
that nor a clean success. `detail` is what the provider said, shortened, with the key removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API took every message of the request; one provider id each, in the request's order."""

    provider_ids: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Limited:
    """429: the budget at ConWP is used up. `retry_at` is what `Retry-After` says, None when it says nothing usable."""

    retry_at: datetime | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """401 or 403: the account, not the message."""

    status: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """400: the request as it stands will never be taken."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Proved not sent for another reason.

    `environment` marks faults of the road (no connection, body not completely written): they wear out no attempt of the message.
    `began` says whether a byte may have reached the server, so that the request counts against the budget.
    """

    detail: str = ""
    environment: bool = False
    began: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have gone out: the answer was lost, or was no answer."""

    detail: str = ""


Outcome = Accepted | Limited | Refused | Invalid | Failed | Unknown


def outcome_name(outcome: Outcome) -> str:
    """Return the outcome's word, as stored and shown: accepted, limited, refused, invalid, failed, unknown."""
    return type(outcome).__name__.lower()
