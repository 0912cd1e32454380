"""Foreign errors and refusals, translated to ours by what the caller should do."""

from typing import Any

import aiohttp
import httpx

from backend_client.wire import Problem, decode_problem
from voice_agent.domain.errors import (
    LayerUnavailable,
    LeaseHeld,
    OwnershipLost,
    RequestRefused,
    VoiceAgentError,
)

LAYER = "backend"
TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,  # includes TimeoutError and ConnectionError
)
"""All that a call may raise below us. Their remedy is one: it may work later."""

_LATER = {408, 425, 429}


def unavailable(op: str, exc: BaseException) -> LayerUnavailable:
    """The call failed on the way; whether the backend did it is unknown."""
    return LayerUnavailable(layer=LAYER, op=op, detail=type(exc).__name__)


def refused(op: str, response: httpx.Response) -> VoiceAgentError:
    """Say what an answer of 400 and above asks the caller to do."""
    status = response.status_code
    problem = decode_problem(response.content)
    if status >= 500 or status in _LATER:
        return LayerUnavailable(
            layer=LAYER,
            op=op,
            detail=f"status {status}",
            retry_after_s=_retry_after_s(response.headers.get("retry-after")),
        )
    if status == 409 and problem.code == "superseded":
        return OwnershipLost(fence=-1, newer=None)
    if status == 409 and problem.code == "lease_held":
        return LeaseHeld()
    return RequestRefused(
        op=op,
        status=status,
        code=problem.code or str(status),
        detail=problem.detail or problem.title,
        rejected=_rejected(problem),
    )


def _rejected(problem: Problem) -> tuple[tuple[int, str], ...]:
    def pair(entry: dict[str, Any]) -> tuple[int, str] | None:
        index = entry.get("index")
        return (index, str(entry.get("code", ""))) if isinstance(index, int) else None

    return tuple(p for entry in problem.errors if (p := pair(entry)) is not None)


def _retry_after_s(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None  # an HTTP date: our own back-off is good enough
