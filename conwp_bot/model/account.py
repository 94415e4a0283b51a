"""What ConWP says of an account and the phones behind it: observed, never chosen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Device:
    """A phone behind an account, as `devices` lists it; what it leaves out is an empty text.

    `last_seen` is shown as given: its time zone is not documented. `token` stays out of logs: what it opens is not documented either.
    """

    token: str = field(repr=False)
    name: str
    status: str
    number: str
    display_name: str
    platform: str
    business: bool
    last_seen: str

    @property
    def ready(self) -> bool:
        """Say whether it can send: only `active` is documented, so any other status counts as not ready."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """ConWP's own books on an account, as `status` gives them; None is what it did not say.

    `average_seconds` is ConWP's mean time of execution per request; `storage_used` has no documented unit.
    """

    username: str
    key_name: str
    messages_used: int | None
    devices_used: int | None
    members_used: int | None
    storage_used: int | None
    requests: int | None
    requests_successful: int | None
    requests_failed: int | None
    average_seconds: float | None
