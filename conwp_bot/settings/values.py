"""The config, built: what `config.yaml` says, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from conwp_bot.model.budget import Limit
from conwp_bot.model.secret import Secret


class Bulk(StrEnum):
    """When messages of an account share a request."""

    UNDER_PRESSURE = "under_pressure"
    ALWAYS = "always"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Pace:
    """At least `every` plus up to `jitter` between two requests' starts."""

    every: timedelta
    jitter: timedelta


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One API key at ConWP. `api_key` is None while its source (environment, file, credential) gives nothing; `key_source` names it."""

    name: str
    base_url: str
    api_key: Secret | None
    key_source: str
    limit: Limit
    bulk: Bulk
    bulk_max: int
    concurrency: int
    timeout: timedelta
    pace: Pace | None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the daemon listens for webhooks and health checks."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`format` is auto (human on a terminal, JSON elsewhere), human or json."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the daemon is told; all paths absolute. `root` is the folder of the config file."""

    file: Path
    root: Path
    flows: Path
    data: Path
    timezone: ZoneInfo
    locale: str
    contacts: Path
    accounts: Mapping[str, AccountSettings]
    web: WebSettings
    log: LogSettings
    retention: timedelta
