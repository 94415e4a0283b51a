"""What can be set about the sandbox, at the start or while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from conwp_bot.model.budget import Limit


class WindowKind(StrEnum):
    """How the hour is counted; ConWP does not say which it is."""

    ROLLING = "rolling"  # any span that ends now
    FIXED = "fixed"  # spans that begin at multiples of the span since 1970 (full UTC hours), shifted by `window_offset`


class RetryAfter(StrEnum):
    """What a 429 says in its `Retry-After` header; ConWP documents none."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """How the sandbox behaves.

    `limit` holds for each key by itself. `keys` None accepts every key that is not empty. `latency` is waited before every answer of
    the API, in real time. `bulk_max` None takes a bulk request of any size. `devices` are laid over the one device that is always
    invented. `keep` bounds the receipts in memory; counters go on. `receipts_file` gets one JSON line per receipt.
    """

    limit: Limit = field(default_factory=lambda: Limit(1000, timedelta(hours=1)))
    window: WindowKind = WindowKind.ROLLING
    window_offset: timedelta = timedelta(0)
    retry_after: RetryAfter = RetryAfter.NONE
    keys: frozenset[str] | None = None
    forbidden_keys: frozenset[str] = frozenset()
    latency: timedelta = timedelta(0)
    bulk_max: int | None = None
    devices: tuple[Mapping[str, Any], ...] = ({},)
    keep: int = 100_000
    receipts_file: Path | None = None
    keep_alive: timedelta = timedelta(seconds=5)


def _limit(value: object) -> Limit:
    if isinstance(value, Limit):
        return value
    if isinstance(value, str):
        return Limit.parse(value)
    raise ValueError('write a limit as text, e.g. "1000/hour"')


class SettingsForm(BaseModel):
    """The body of `POST /_sandbox/settings`: what is left out stays as it is; lengths of time are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    limit: Annotated[Limit, BeforeValidator(_limit)] | None = None
    window: WindowKind | None = None
    window_offset: Annotated[float, Field(ge=0)] | None = None
    retry_after: RetryAfter | None = None
    keys: frozenset[str] | None = None
    forbidden_keys: frozenset[str] | None = None
    latency: Annotated[float, Field(ge=0, le=3600)] | None = None
    bulk_max: Annotated[int, Field(ge=1)] | None = None
    devices: tuple[dict[str, Any], ...] | None = None

    def laid_over(self, options: SandboxOptions) -> SandboxOptions:
        """Return `options` with what this form names; `keys` and `bulk_max` may be set back to null."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        for name in ("window_offset", "latency"):
            if said.get(name) is not None:
                said[name] = timedelta(seconds=said[name])
        nullable = ("keys", "bulk_max")
        return replace(
            options, **{name: value for name, value in said.items() if value is not None or name in nullable}
        )


def settings_as_json(options: SandboxOptions) -> dict[str, Any]:
    """Return what `GET /_sandbox/settings` says, in the form that a POST takes."""
    return {
        "limit": str(options.limit),
        "window": options.window.value,
        "window_offset": options.window_offset.total_seconds(),
        "retry_after": options.retry_after.value,
        "keys": None if options.keys is None else sorted(options.keys),
        "forbidden_keys": sorted(options.forbidden_keys),
        "latency": options.latency.total_seconds(),
        "bulk_max": options.bulk_max,
        "devices": [dict(device) for device in options.devices],
    }
