"""The HTTP client: httpx's interface, aiohttp underneath.

httpx's own transport leaves 9 of 10 connection pools unusable when calls are cancelled again and
again, which a person who interrupts the agent does (docs/adr/0005, encode/httpcore
#1093); aiohttp leaves none, at a quarter of the CPU. docs/adr/0005 has the figures.
"""

import httpx
from httpx_aiohttp import AiohttpTransport

CONNECTIONS = 20
KEEP_IDLE_S = 30.0
"""Shorter than a server's usual idle timeout (uvicorn's is set to 75 s in backend/)."""


def backend_http(*, url: str, token: str, timeout_s: float) -> httpx.AsyncClient:
    """Make the client for one backend. The caller closes it (``async with``).

    Args:
        url: the backend's address, without ``/v1``.
        token: a bearer token with scope ``agent`` or ``admin``.
        timeout_s: longest wait for one read or write; the whole call has its own deadline in
            ``BackendClient``.
    """
    limits = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_IDLE_S)
    return httpx.AsyncClient(
        transport=AiohttpTransport(limits=limits, trust_env=False),
        base_url=url.rstrip("/"),
        headers={"Authorization": f"Bearer {token}"},
        timeout=timeout_s,
        trust_env=False,
    )
