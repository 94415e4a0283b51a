"""`/_sandbox/…`: receipts, faults, settings, state and live events, as JSON over HTTP. Open to whoever reaches the port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from conwp_bot.sandbox.faults import Fault, describe, parse_faults
from conwp_bot.sandbox.options import SandboxOptions, SettingsForm, settings_as_json
from conwp_bot.sandbox.receipts import ReceiptLog, to_text

_MOST_PER_EVENT = 500
_BEAT = 5.0
_COALESCE = 0.1


class Controlled(Protocol):
    """What the control endpoints need of a sandbox."""

    @property
    def receipts(self) -> ReceiptLog: ...
    @property
    def options(self) -> SandboxOptions: ...
    @property
    def stopping(self) -> asyncio.Event: ...
    def faults(self) -> list[dict[str, Any]]: ...
    def set_faults(self, rules: list[Fault]) -> None: ...
    def configure(self, options: SandboxOptions) -> None: ...
    def reset(self) -> None: ...
    def state(self) -> dict[str, Any]: ...


def routes(sandbox: Controlled) -> list[Route]:
    """Return the control endpoints of this sandbox."""

    async def receipts(request: Request) -> Response:
        try:
            since = int(request.query_params.get("since", 0))
            last = request.query_params.get("last")
            most = None if last is None else max(0, int(last))
            wait = min(float(request.query_params.get("wait", 0)), 60.0)
        except ValueError:
            return _wrong("since and last are whole numbers, wait is a number of seconds")
        if wait > 0:
            await _wait_beyond(sandbox, since, wait)
        lines = sandbox.receipts.lines(since, most)
        headers = {"x-sandbox-epoch": str(sandbox.receipts.epoch), "x-sandbox-last": str(sandbox.receipts.last)}
        return Response(b"[" + b",\n".join(lines) + b"]\n", media_type="application/json", headers=headers)

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            sandbox.set_faults(parse_faults(await _json(request)))
        elif request.method == "DELETE":
            sandbox.set_faults([])
        return JSONResponse(sandbox.faults())

    async def settings(request: Request) -> Response:
        if request.method == "POST":
            _configure(sandbox, await _json(request))
        return JSONResponse(settings_as_json(sandbox.options))

    async def reset(request: Request) -> Response:
        said = await _json(request) if await request.body() else {}
        if said:
            _configure(sandbox, said)
        sandbox.reset()
        return JSONResponse(settings_as_json(sandbox.options))

    async def state(_: Request) -> Response:
        return JSONResponse(sandbox.state())

    async def events(request: Request) -> Response:
        try:
            since = int(request.headers.get("last-event-id") or request.query_params.get("since") or "0")
        except ValueError:
            return _wrong("since is a whole number")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        once = "once" in request.query_params
        return StreamingResponse(_events(sandbox, since, once), media_type="text/event-stream", headers=headers)

    return [
        Route("/_sandbox/receipts", receipts, methods=["GET"]),
        Route("/_sandbox/faults", _guarded(faults), methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/settings", _guarded(settings), methods=["GET", "POST"]),
        Route("/_sandbox/reset", _guarded(reset), methods=["POST"]),
        Route("/_sandbox/state", state, methods=["GET"]),
        Route("/_sandbox/events", events, methods=["GET"]),
    ]


def _guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Turn a ValueError into a 400, and refuse pages of other sites: a browser would let them post here blindly."""

    async def handle(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return JSONResponse({"error": "the sandbox is not controlled from pages of other sites"}, 403)
        try:
            return await handler(request)
        except ValueError as error:
            return _wrong(str(error))

    return handle


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None


def _configure(sandbox: Controlled, said: object) -> None:
    try:
        form = SettingsForm.model_validate(said)
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    sandbox.configure(form.laid_over(sandbox.options))


def _wrong(why: str) -> Response:
    return JSONResponse({"error": why}, 400)


async def _wait_beyond(sandbox: Controlled, since: int, seconds: float) -> None:
    """Return as soon as there is a receipt numbered above `since`, or after `seconds`, or when the sandbox stops."""
    try:
        async with asyncio.timeout(seconds):
            while sandbox.receipts.last <= since and not sandbox.stopping.is_set():
                await sandbox.receipts.changed()
    except TimeoutError:
        pass


async def _events(sandbox: Controlled, since: int, once: bool) -> AsyncIterator[str]:
    """Yield batches of new receipts with the state: now, whenever something changes, and every five seconds; or only now.

    Who falls behind gets the newest only: the page shows, the receipts are the truth.
    """
    log, epoch = sandbox.receipts, sandbox.receipts.epoch
    while not sandbox.stopping.is_set():
        if log.epoch != epoch or log.last < since:
            since, epoch = 0, log.epoch
        lines = log.lines(since, _MOST_PER_EVENT)
        since = log.last
        batch = ",".join(line.decode() for line in lines)
        yield f'id: {since}\ndata: {{"receipts":[{batch}],"state":{to_text(sandbox.state())}}}\n\n'
        if once:
            return
        if log.last == since and log.epoch == epoch:
            try:
                async with asyncio.timeout(_BEAT):
                    await log.changed()
            except TimeoutError:
                continue
        await asyncio.sleep(_COALESCE)  # one event for what comes in a burst
