"""The ASGI application: which path goes where."""

from __future__ import annotations

from collections.abc import Mapping

from conwp_bot.model.hook import HookReceiver
from conwp_bot.web.answer import ASGIApp, ASGIScope, Receive, Send, answer_json
from conwp_bot.web.health import Health, HealthEndpoint
from conwp_bot.web.hooks import PREFIX, HookEndpoint


def make_app(hooks: HookReceiver, health: Health, extra: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """Return the application: hooks, health, and `extra` by path prefix (`/control`).

    An extra application sees its prefix as `root_path` (as Starlette's Mount does it) and the path whole.
    """
    return _Router(HookEndpoint(hooks), HealthEndpoint(health), dict(extra or {}))


class _Router:
    """A comparison or two per request; Starlette's router costs more than all else on the way of a webhook."""

    def __init__(self, hooks: ASGIApp, health: ASGIApp, extra: Mapping[str, ASGIApp]) -> None:
        self._hooks = hooks
        self._health = health
        self._extra = {prefix.rstrip("/"): app for prefix, app in extra.items()}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith(PREFIX):
            await self._hooks(scope, receive, send)
        elif path == "/healthz":
            await self._health(scope, receive, send)
        else:
            for prefix, app in self._extra.items():
                if path == prefix or path.startswith(prefix + "/"):
                    inner = {**scope, "root_path": scope.get("root_path", "") + prefix}
                    await app(inner, receive, send)
                    return
            await answer_json(send, 404, {"error": "nothing is here"}, close=True)
