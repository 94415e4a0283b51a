"""What filters need to know beside a value, and how it reaches them: in the scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

SETTINGS_KEY = "__render__"
"""The scope's reserved name; no template can say it."""


@dataclass(frozen=True, slots=True)
class RenderContext:
    """Where and when a text is made: `locale` (`tr_TR`), the flow's zone, the run's instant (aware), and the `region` (ISO 3166) of
    phone numbers that bring no country code."""

    locale: str
    timezone: ZoneInfo
    now: datetime
    region: str = "TR"


def make_scope(values: Mapping[str, Any], context: RenderContext) -> dict[str, Any]:
    """Return the scope in which `values` are seen under their names; nested values are shared, not copied."""
    return {**values, SETTINGS_KEY: context}
