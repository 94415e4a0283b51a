"""The page that shows the chats, served from memory."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FILES = {
    "/": ("index.html", "text/html"),
    "/_sandbox/page.css": ("page.css", "text/css"),
    "/_sandbox/page.js": ("page.js", "text/javascript"),
    "/_sandbox/marks.js": ("marks.js", "text/javascript"),
    "/_sandbox/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> list[Route]:
    """Return the page and its files."""
    folder = files(__package__).joinpath("static")
    return [_route(path, folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _FILES.items()]


def _route(path: str, content: bytes, kind: str) -> Route:
    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return Route(path, serve, methods=["GET"])
