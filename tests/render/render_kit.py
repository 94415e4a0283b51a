"""A scope to render in: a Turkish flow on a Sunday morning."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from conwp_bot.flows.render import RenderContext, compile_expression, compile_text, make_scope

ISTANBUL = ZoneInfo("Europe/Istanbul")
NOW = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)  # 09:30 in Istanbul
TURKISH = RenderContext("tr_TR", ISTANBUL, NOW, "TR")
ENGLISH = RenderContext("en_US", ZoneInfo("America/New_York"), NOW, "US")


class Canary:
    """An object that must never give anything away."""

    secret = "gold"

    def method(self) -> str:
        return "gold"

    def __str__(self) -> str:
        return "gold"


VALUES: dict[str, Any] = {
    "event": {
        "id": "ev_1",
        "payload": {
            "name": "Ayşe",
            "items": [{"title": "Çay", "price": 12.5, "n": 2}, {"title": "Şeker", "price": 30, "n": 1}],
            "keys": "own",
            "status": "PAID",
            "empty": None,
            "vip": True,
            "_id": "abc",
            "big": "x" * 500_000,
            "many": list(range(50_000)),
            "evil": "{{ 7 * 7 }}{% for x in range(9) %}!{% endfor %}",
            "at": "2026-11-22T06:30:00.123456789Z",
        },
        "scheduled_at": NOW.astimezone(ISTANBUL),
    },
    "invoice": {"name": "Ayşe", "due": date(2026, 11, 23), "total": Decimal("1234.50"), "phone": "0555 123 45 67"},
    "canary": Canary(),
}


def scope(context: RenderContext = TURKISH, **values: Any) -> dict[str, Any]:
    return make_scope({**VALUES, **values}, context)


def text(source: str, context: RenderContext = TURKISH, **values: Any) -> str:
    return compile_text(source, field="steps[0].send.text").render(scope(context, **values))


def value(source: str, context: RenderContext = TURKISH, **values: Any) -> Any:
    return compile_expression(source, field="when").evaluate(scope(context, **values))
