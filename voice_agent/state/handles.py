"""Resumption handles of speech models: how another process goes on with a provider's session.

A handle is a secret, belongs to one conversation, is taken once and ages out. Losing one costs a
session that is begun anew from the history, so nothing here raises and nothing is logged of it.
"""

from dataclasses import dataclass
from typing import Protocol

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.ids import ConversationId
from voice_agent.state.hot_scripts import SAVE, TAKE, Scripts
from voice_agent.state.keys import Keys


class ProviderHandles(Protocol):
    """Where a call keeps the handle of its model's session."""

    async def save(
        self, conversation_id: ConversationId, fence: int, payload: bytes, ttl_s: float
    ) -> None:
        """Keep ``payload`` for ``ttl_s`` seconds in the place of an older one.

        A writer with a lower fence than the last one changes nothing. Never raises.
        """
        ...

    async def take(self, conversation_id: ConversationId) -> bytes | None:
        """Return the handle and forget it: no second process gets it. Never raises."""
        ...


class SharedHandles:
    """Handles in Redis: any process of any pod may take them."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def save(
        self, conversation_id: ConversationId, fence: int, payload: bytes, ttl_s: float
    ) -> None:
        """See ``ProviderHandles``."""
        keys = [self._keys.handle(conversation_id)]
        try:
            await self._scripts.run("save_handle", SAVE, keys, [fence, payload, _ms(ttl_s)])
        except LayerUnavailable:
            return

    async def take(self, conversation_id: ConversationId) -> bytes | None:
        """See ``ProviderHandles``. An answer that is lost on the way is a handle that is lost."""
        try:
            found = await self._scripts.run(
                "take_handle", TAKE, [self._keys.handle(conversation_id)]
            )
        except LayerUnavailable:
            return None
        return bytes(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    fence: int
    payload: bytes
    until_s: float

    def __repr__(self) -> str:
        return f"_Kept(fence={self.fence})"


class OwnHandles:
    """Handles in this process alone: what there is without Redis."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[ConversationId, _Kept] = {}

    async def save(
        self, conversation_id: ConversationId, fence: int, payload: bytes, ttl_s: float
    ) -> None:
        """See ``ProviderHandles``."""
        held = self._fresh(conversation_id)
        if held is None or fence >= held.fence:
            until_s = self._clock.monotonic_s() + ttl_s
            self._kept[conversation_id] = _Kept(fence=fence, payload=payload, until_s=until_s)

    async def take(self, conversation_id: ConversationId) -> bytes | None:
        """See ``ProviderHandles``."""
        held = self._fresh(conversation_id)
        if held is None or not held.payload:
            return None
        self._kept[conversation_id] = _Kept(fence=held.fence, payload=b"", until_s=held.until_s)
        return held.payload

    def _fresh(self, conversation_id: ConversationId) -> _Kept | None:
        held = self._kept.get(conversation_id)
        if held is not None and held.until_s <= self._clock.monotonic_s():
            del self._kept[conversation_id]
            return None
        return held


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
