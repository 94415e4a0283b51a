"""The daemon's side of the control socket: its operations as JSON over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from conwp_bot.app.answers import Fired, Operations
from conwp_bot.errors import ConwpBotError


def control_app(operations: Operations) -> Starlette:
    """Return the application that answers a `RemoteOperations`."""

    async def answer(work: Awaitable[Any]) -> JSONResponse:
        try:
            return JSONResponse({"answer": await work})
        except ConwpBotError as error:
            return JSONResponse({"error": str(error), "hint": error.hint}, status_code=409)

    async def fire(request: Request) -> JSONResponse:
        asked = await request.json()
        file = Path(asked["file"]) if asked.get("file") else None
        return await answer(_as_dict(operations.fire(asked["flow"], payload=asked.get("payload"), file=file)))

    async def send(request: Request) -> JSONResponse:
        asked = await request.json()
        work = operations.send(
            asked["to"], asked["text"], kind=asked["kind"], media=asked["media"], account=asked["account"]
        )
        return await answer(_as_dict(work))

    async def flows(_: Request) -> JSONResponse:
        return await answer(operations.flows())

    async def devices(request: Request) -> JSONResponse:
        return await answer(operations.devices(request.query_params["account"]))

    async def status(request: Request) -> JSONResponse:
        return await answer(operations.status(request.query_params["account"]))

    async def reload(_: Request) -> JSONResponse:
        return await answer(operations.reload())

    async def info(_: Request) -> JSONResponse:
        return await answer(operations.info())

    return Starlette(
        routes=[
            Route("/info", info),
            Route("/flows", flows),
            Route("/devices", devices),
            Route("/status", status),
            Route("/fire", fire, methods=["POST"]),
            Route("/send", send, methods=["POST"]),
            Route("/reload", reload, methods=["POST"]),
        ]
    )


async def _as_dict(work: Awaitable[Fired]) -> dict[str, Any]:
    return asdict(await work)
