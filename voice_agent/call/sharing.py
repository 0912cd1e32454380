"""What a call shares with other pods while it lives: its events in Redis, and what Redis kept.

Beside the audio path. Losing all of it costs the next process a read from the backend.
"""

import asyncio
import logging
from contextlib import suppress

import msgspec

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs
from voice_agent.call.enrolment import Enrolment
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.state.hot_cache import Scribe
from voice_agent.state.hot_feed import HotFeed
from voice_agent.state.hot_tier import HotTier
from voice_agent.state.outbox import Header
from voice_agent.state.ports import Backend
from voice_agent.state.read_repair import ReadRepair
from voice_agent.state.recovery import Recovered

log = logging.getLogger(__name__)

REPAIR_S = 5.0
"""Longest time that our own events wait for the repair of what others left."""


class Sharing:
    """One call's part of the hot tier."""

    def __init__(
        self, hot: HotTier, backend: Backend, *, writer: Enrolment, header: Header, clock: Clock
    ) -> None:
        self._hot = hot
        self._writer = writer
        self._header = msgspec.json.encode(header)
        self._repair = ReadRepair(hot.cache, backend)
        self._feed = HotFeed(
            hot.cache,
            clock=clock,
            scribe=self._scribe,
            conversation_id=lambda: writer.conversation_id,
        )

    def written(self, ordinal: int, data: bytes) -> None:
        """Take an event that the outbox has. Returns at once."""
        self._feed.offer(ordinal, data)

    def bound(self) -> None:
        """The conversation is known now."""
        self._feed.ring()

    def close(self) -> None:
        """Let the feed end when it has offered what it holds."""
        self._feed.close()

    async def keep(self, jobs: Jobs, recovered: Recovered) -> None:
        """Repair what others left, bring the tail up to date, then feed it until ``close``."""
        if await self._repaired():
            with suppress(LayerUnavailable):
                await self._rewarm(recovered)
        else:
            jobs.start_watch("read-repair", lambda: self._repair_later(jobs))
        await self._feed.keep()

    def _scribe(self) -> Scribe:
        writer = self._writer
        return Scribe(
            writer_id=writer.writer_id,
            fence=writer.fence,
            header=self._header,
            is_first=writer.grant is not None and writer.grant.previous == (),
        )

    async def _repaired(self) -> bool:
        conversation_id = self._writer.conversation_id
        if conversation_id is None:
            return False
        try:
            async with asyncio.timeout(REPAIR_S):
                await self._repair.run(conversation_id, but=self._writer.writer_id)
        except (LayerUnavailable, TimeoutError) as exc:
            log.debug("not repaired yet", extra={"error_type": type(exc).__name__})
            return False
        return True

    async def _repair_later(self, jobs: Jobs) -> None:
        backoff = Backoff(base_s=1.0, cap_s=10.0)
        for attempt in range(1_000_000):
            if await jobs.stopped(within_s=backoff.delay_s(attempt)) or await self._repaired():
                return

    async def _rewarm(self, recovered: Recovered) -> None:
        """Begin the tail anew with what the backend gave, where it lacked something."""
        conversation_id = self._writer.conversation_id
        if recovered.rewarm is not None and conversation_id is not None:
            await self._hot.cache.rebuild(
                conversation_id, self._scribe(), recovered.rewarm, is_whole=recovered.is_whole
            )
