"""A look at the servers before the worker starts: what is wrong is said in a line.

A wrong key ends the start, because no waiting helps. A server that is away does not: it may come
up a moment later, and the worker keeps asking.
"""

import asyncio

import aiohttp
import httpx
from livekit import api

from config.settings import Settings, SettingsError
from voice_agent.bootstrap.hot import look_at_redis

WAIT_S = 3.0


def look(settings: Settings) -> list[str]:
    """Say which servers are away, a line for each.

    Raises:
        SettingsError: LiveKit, the backend or Redis refuses the key, token or password.
    """
    return asyncio.run(_look(settings))


async def _look(settings: Settings) -> list[str]:
    lines = [await _livekit(settings)]
    if settings.backend_url and settings.backend_token:
        lines.append(await _backend(settings.backend_url, settings))
    lines.append(await look_at_redis(settings, within_s=WAIT_S) or "")
    return [line for line in lines if line]


async def _livekit(settings: Settings) -> str:
    url = settings.livekit_url
    livekit = api.LiveKitAPI(
        url,
        settings.livekit_api_key,
        settings.livekit_api_secret.get_secret_value(),
        timeout=aiohttp.ClientTimeout(total=WAIT_S),
    )
    try:
        await livekit.room.list_rooms(api.ListRoomsRequest(names=["-"]))
    except api.TwirpError as exc:
        if exc.status in {401, 403}:
            raise SettingsError(
                f"LiveKit at {url} refuses the key: check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
            ) from exc
        return ""  # it answers; what it thinks of this question does not matter
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return f"LiveKit at {url} does not answer: start it or correct LIVEKIT_URL; asking again"
    finally:
        await livekit.aclose()
    return ""


async def _backend(url: str, settings: Settings) -> str:
    token = settings.backend_token
    assert token is not None
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
            answer = await http.get(
                f"{url.rstrip('/')}/v1/conversations", params={"limit": 1}, headers=headers
            )
    except (httpx.HTTPError, httpx.InvalidURL):
        return (
            f"backend at {url} does not answer: start it or correct BACKEND_URL;"
            " calls begin without it and are delivered later"
        )
    if answer.status_code in {401, 403}:
        raise SettingsError(f"backend at {url} refuses the token: check BACKEND_TOKEN")
    return ""
