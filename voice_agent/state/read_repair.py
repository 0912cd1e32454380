"""What Redis has and the backend lacks: the words of a pod that is gone with its outbox.

They reach the backend with their own ids, ordinals and fence, so it does no harm if the pod lives
after all and its relay delivers them too.
"""

import logging
from collections.abc import Sequence

from voice_agent.domain.errors import CorruptStateError, RequestRefused
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.entries import Entry
from voice_agent.state.hot_cache import HotCache, Tail
from voice_agent.state.outbox import header_of
from voice_agent.state.ports import Backend, Registration

log = logging.getLogger(__name__)

BATCH = 50


class ReadRepair:
    """Repairs the backend from the tail of one conversation."""

    def __init__(self, cache: HotCache, backend: Backend) -> None:
        self._cache = cache
        self._backend = backend

    async def run(self, conversation_id: ConversationId, *, but: WriterId) -> int:
        """Deliver what other writers than ``but`` left undelivered; return how many events.

        Safe to repeat.

        Raises:
            LayerUnavailable: Redis or the backend is away: try later.
        """
        tail = await self._cache.read(conversation_id)
        count = 0
        for writer_id in dict.fromkeys(entry.writer_id for entry in tail.entries):
            lacking = _unacknowledged(tail, writer_id)
            if writer_id == but or not lacking:
                continue
            try:
                await self._deliver(conversation_id, tail, lacking)
            except (RequestRefused, CorruptStateError) as exc:
                log.warning("events of a lost pod are not taken by the backend",
                            extra={"op": "read_repair", "conversation_id": conversation_id,
                                   "writer_id": writer_id, "error_type": type(exc).__name__,
                                   "detail": str(exc)})  # fmt: skip
                continue
            count += len(lacking)
        if count:
            log.info("events that redis had reached the backend",
                     extra={"op": "read_repair", "conversation_id": conversation_id,
                            "count": count})  # fmt: skip
        return count

    async def _deliver(
        self, conversation_id: ConversationId, tail: Tail, lacking: Sequence[Entry]
    ) -> None:
        writer_id = lacking[0].writer_id
        await self._register(conversation_id, tail, writer_id)
        for start in range(0, len(lacking), BATCH):
            batch = lacking[start : start + BATCH]
            await self._backend.store_events(
                conversation_id, writer_id, [entry.data for entry in batch]
            )
            await self._cache.note(conversation_id, writer_id, acknowledged=batch[-1].ordinal)

    async def _register(
        self, conversation_id: ConversationId, tail: Tail, writer_id: WriterId
    ) -> None:
        """Its pod may have been lost before the backend ever heard of it."""
        raw = tail.headers.get(writer_id)
        if not raw:
            return
        header = header_of(raw, source="redis")
        await self._backend.register_writer(
            conversation_id,
            Registration(
                writer_id=writer_id,
                started_at=header.started_at,
                kind=header.kind,
                room=header.room,
                job_id=header.job_id,
                fence=header.fence,
            ),
        )


def _unacknowledged(tail: Tail, writer_id: WriterId) -> list[Entry]:
    known = tail.acknowledged.get(writer_id, 0)
    return [e for e in tail.entries if e.writer_id == writer_id and e.ordinal > known]
