"""``agent.py doctor``: is everything that a call needs there? One line each, and what to do."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable

import httpx

from config.settings import Settings, SettingsError, load
from voice_agent.bootstrap.hot import look_at_redis
from voice_agent.bootstrap.packages import check_packages

WAIT_S = 3.0
DISK_LOW_BYTES = 200 * 1024 * 1024


def main() -> int:
    """Print a line for each thing a call needs; 1 if one of them is missing."""
    try:
        settings = load()
    except SettingsError as exc:
        sys.stdout.write(f"settings   wrong    {exc}\n")
        return 1
    return asyncio.run(_examine(settings))


async def _examine(settings: Settings) -> int:
    checks: list[tuple[str, Callable[[Settings], Awaitable[str | None]]]] = [
        ("packages", _packages),
        ("livekit", _livekit),
        ("backend", _backend),
        ("redis", _redis),
        ("disk", _disk),
    ]
    trouble = 0
    for name, check in checks:
        complaint = await check(settings)
        trouble += complaint is not None
        verdict = "ok" if complaint is None else "trouble"
        sys.stdout.write(f"{name:<10} {verdict:<8} {complaint or ''}".rstrip() + "\n")
    return 1 if trouble else 0


async def _packages(settings: Settings) -> str | None:
    try:
        check_packages(settings)
    except SettingsError as exc:
        return str(exc)
    return None


async def _livekit(settings: Settings) -> str | None:
    if not settings.livekit_url:
        return "LIVEKIT_URL is not set: 'make run' sets a server up"
    url = settings.livekit_url.replace("ws", "http", 1)
    return await _answers(url, "start the LiveKit server, or correct LIVEKIT_URL")


async def _backend(settings: Settings) -> str | None:
    if not settings.backend_url:
        return "BACKEND_URL is not set: memory-only, nothing that is said is kept"
    return await _answers(
        settings.backend_url.rstrip("/") + "/readyz", "start the backend, or correct BACKEND_URL"
    )


async def _redis(settings: Settings) -> str | None:
    try:
        return await look_at_redis(settings, within_s=WAIT_S)
    except SettingsError as exc:
        return str(exc)


async def _disk(settings: Settings) -> str | None:
    folder = settings.outbox.folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < DISK_LOW_BYTES:
        return f"{free >> 20} MiB free for VOICE_OUTBOX__FOLDER: free some"
    return None


async def _answers(url: str, remedy: str) -> str | None:
    try:
        async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
            response = await http.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return f"{url} does not answer ({type(exc).__name__}): {remedy}"
    return None if response.status_code < 500 else f"{url} answers {response.status_code}: {remedy}"
