"""The job's way to Redis: what the outbox has written is appended beside the audio path.

Bounded, and nothing is lost when it overflows, when Redis is away or when this process dies: the
relay refills from the outbox, in order.
"""

import logging
from asyncio import Event as Bell
from collections import deque
from collections.abc import Callable
from itertools import islice

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.ids import ConversationId
from voice_agent.state.hot_cache import HotCache, Outcome, Scribe

log = logging.getLogger(__name__)

WAITING_MAX = 1_000
"""Events that wait while Redis is away; beyond it the oldest are the relay's."""
BATCH = 100
RETRY_S = 0.05


class HotFeed:
    """Feeds one call's events to the tail of its conversation."""

    def __init__(
        self,
        cache: HotCache,
        *,
        clock: Clock,
        scribe: Callable[[], Scribe],
        conversation_id: Callable[[], ConversationId | None],
    ) -> None:
        """``scribe`` and ``conversation_id`` are asked anew for each batch: they may come late."""
        self._cache = cache
        self._clock = clock
        self._scribe = scribe
        self._conversation_id = conversation_id
        self._waiting: deque[tuple[int, bytes]] = deque(maxlen=WAITING_MAX)
        self._rung = Bell()
        self._is_closing = False
        self.is_fenced = False
        """A newer writer has the tail."""

    @property
    def waiting_count(self) -> int:
        """Events that Redis was not offered yet."""
        return len(self._waiting)

    def offer(self, ordinal: int, data: bytes) -> None:
        """Take an event that the outbox has. Returns at once."""
        if not self.is_fenced:
            self._waiting.append((ordinal, data))
            self._rung.set()

    def ring(self) -> None:
        """Something is known now that was not: try."""
        self._rung.set()

    def close(self) -> None:
        """End ``keep`` once what waits was offered to Redis once more."""
        self._is_closing = True
        self._rung.set()

    async def keep(self) -> None:
        """Append until ``close``. May be cancelled."""
        while not self._is_closing:
            await self._rung.wait()
            self._rung.clear()
            await self._push()

    async def _push(self) -> None:
        while self._waiting and not self.is_fenced:
            conversation_id = self._conversation_id()
            if conversation_id is None:
                return
            closing = self._is_closing
            try:
                await self._append(conversation_id, self._scribe())
            except LayerUnavailable:
                if closing:
                    return
                await self._clock.sleep(max(RETRY_S, self._cache.rest_left_s))

    async def _append(self, conversation_id: ConversationId, scribe: Scribe) -> None:
        first, payloads = self._batch()
        appended = await self._cache.append(conversation_id, scribe, first, payloads)
        last = first + len(payloads) - 1
        while self._waiting and self._waiting[0][0] <= last:
            self._waiting.popleft()
        if appended.outcome is Outcome.FENCED:
            self.is_fenced = True
            self._waiting.clear()
            log.warning("a newer writer has the hot tail: this one leaves it alone",
                        extra={"layer": "redis", "op": "append", "writer_id": scribe.writer_id,
                               "conversation_id": conversation_id})  # fmt: skip

    def _batch(self) -> tuple[int, list[bytes]]:
        """The oldest run of ordinals that follow each other."""
        first = self._waiting[0][0]
        payloads: list[bytes] = []
        for ordinal, data in islice(self._waiting, BATCH):
            if ordinal != first + len(payloads):
                break
            payloads.append(data)
        return first, payloads
