"""What a flow takes from the config when it does not say."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from conwp_bot.model.delivery import DEFAULT_ACCOUNT


@dataclass(frozen=True, slots=True)
class FlowDefaults:
    """The config's zone and locale, and the accounts that a flow may name (None: any, for rebuilding an old version)."""

    timezone: ZoneInfo
    locale: str
    accounts: frozenset[str] | None = frozenset({DEFAULT_ACCOUNT})
