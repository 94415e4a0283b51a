"""`GET /healthz`: whether triggers are live."""

from __future__ import annotations

from collections.abc import Callable

from conwp_bot.web.answer import ASGIScope, Receive, Send, answer_json

Health = Callable[[], str]
"""Says how the daemon is: `ok` once triggers are live, `starting` before, `stopping` after."""


class HealthEndpoint:
    """200 `{"status": "ok"}` while triggers are live, 503 with the word for it otherwise."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, scope: ASGIScope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await answer_json(send, 405, {"error": "use GET"}, {"allow": "GET, HEAD"}, close=True)
            return
        status = self._health()
        await answer_json(send, 200 if status == "ok" else 503, {"status": status})
