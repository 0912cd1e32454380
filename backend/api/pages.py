"""The pages: the built files of web/, at /. They may talk to this server and to LiveKit only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MISSING: Final = (
    "The page is not built. Run `npm ci && npm run build` in web/ and load this again;"
    " the API under /v1 works without it.\n"
)


Headers = list[tuple[bytes, bytes]]


def install(app: FastAPI, folder: Path) -> None:
    """Serve ``folder`` at /, or say how to build it. Looked at with each request."""
    routes = tuple(app.router.routes)
    app.mount("/", _Pages(folder, routes), name="pages")


class _Pages:
    """What no other route answered: a file, or a clear no."""

    def __init__(self, folder: Path, routes: Sequence[BaseRoute]) -> None:
        self._folder = folder
        self._routes = routes
        self._files = StaticFiles(directory=folder, html=True, check_dir=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in {"/", "/index.html"} and not (self._folder / "index.html").is_file():
            await PlainTextResponse(_MISSING)(scope, receive, send)
            return
        if any(route.matches(scope)[0] is Match.PARTIAL for route in self._routes):
            raise HTTPException(405)
        if scope["path"].startswith("/v1/") or not self._folder.is_dir():
            raise HTTPException(404)
        await self._files(scope, receive, send)


class SafeHeaders:
    """Adds to every answer what keeps a browser from being turned against its user."""

    def __init__(self, app: ASGIApp, livekit_url: str) -> None:
        self._app = app
        common = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "microphone=(self), camera=(), geolocation=()",
            "content-security-policy": policy(livekit_url),
        }
        self._headers = [(name.encode(), value.encode()) for name, value in common.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and complete its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
                message["headers"] += _keeping(scope["path"], message["headers"])
            await send(message)

        await self._app(scope, receive, completed)


def _keeping(path: str, headers: Headers) -> Headers:
    """Say how long an answer may be kept: a page must find the assets of its own build."""
    if path.startswith("/v1/"):
        return [(b"cache-control", b"no-store")]
    kind = dict(headers).get(b"content-type", b"")
    return [(b"cache-control", b"no-cache")] if kind.startswith(b"text/html") else []


def policy(livekit_url: str) -> str:
    """Write the Content-Security-Policy: this server, LiveKit, nothing else."""
    peers = ["'self'"]
    address = urlsplit(livekit_url)
    if address.hostname:
        secure = address.scheme in {"wss", "https"}
        peers += [f"{scheme}://{address.netloc}" for scheme in _schemes(secure=secure)]
    return "; ".join(
        (
            "default-src 'self'",
            f"connect-src {' '.join(peers)}",
            "media-src 'self' blob: data: mediastream:",
            "img-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _schemes(*, secure: bool) -> tuple[str, str]:
    """LiveKit's client opens a WebSocket and, when that fails, asks by HTTP why."""
    return ("wss", "https") if secure else ("ws", "http")
