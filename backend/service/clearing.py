"""A context clear: stored first, then waited for until the running agent knows of it."""

import asyncio
from typing import Final

from backend.clock import monotonic_s, now_ms
from backend.storage.ports import Conversations
from backend.storage.records import Cleared

_LOOK_S: Final = 0.05


async def clear(
    storage: Conversations,
    tenant: str,
    id_: str,
    *,
    event_id: str,
    reason: str | None,
    wait_s: float,
) -> tuple[Cleared, bool]:
    """Begin a new session, and say whether the running agent has dropped its window.

    The second value is True when no live writer is still in an older session: it told so with its
    heartbeat or with an event of the new session, or there is none. The clear itself is done
    either way. Safe to repeat with the same ``event_id``.
    """
    cleared = await storage.clear(tenant, id_, event_id=event_id, reason=reason, now_ms=now_ms())
    deadline = monotonic_s() + wait_s
    number = cleared.session_number
    while not await storage.has_dropped(tenant, id_, number, now_ms()):
        if monotonic_s() >= deadline:
            return cleared, False
        await asyncio.sleep(_LOOK_S)
    return cleared, True
