"""The relay's way to Redis: it keeps a writer's part of the tail without gaps, also a dead one's.

The job appends faster; the relay sees what is missing and appends it in order from the outbox file.
Nothing here raises: a Redis that is away is tried again with the next look at the file.
"""

import asyncio
from collections.abc import Callable, Sequence

from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.ids import ConversationId
from voice_agent.state.hot_cache import HotCache, Noted, Outcome, Scribe

BATCH = 100


class HotRefill:
    """One outbox file's part of the tail."""

    def __init__(
        self, cache: HotCache, *, read_after: Callable[[int], Sequence[tuple[int, bytes]]]
    ) -> None:
        """``read_after``: the file's events behind an ordinal (blocking)."""
        self._cache = cache
        self._read_after = read_after
        self._before: Noted | None = None
        self._is_fenced = False

    async def step(
        self,
        conversation_id: ConversationId,
        scribe: Scribe,
        *,
        last_ordinal: int,
        acknowledged: int,
        is_dead: bool,
    ) -> None:
        """Note what is acknowledged and append what is missing.

        What a live job is about to append itself is left to it until the next look.
        """
        try:
            noted = await self._cache.note(
                conversation_id, scribe.writer_id, acknowledged=acknowledged
            )
            if noted.held < last_ordinal and (is_dead or noted == self._before):
                await self._refill(conversation_id, scribe, noted)
        except LayerUnavailable:
            self._before = None
            return
        self._before = noted

    async def _refill(self, conversation_id: ConversationId, scribe: Scribe, noted: Noted) -> None:
        if self._is_fenced:
            return
        found = await asyncio.to_thread(self._read_after, noted.held)
        for run in _runs(found):
            appended = await self._cache.append(
                conversation_id, scribe, run[0][0], [data for _, data in run]
            )
            if appended.outcome is Outcome.FENCED:
                self._is_fenced = True
            if appended.outcome in {Outcome.FENCED, Outcome.GAP}:
                return


def _runs(found: Sequence[tuple[int, bytes]]) -> list[Sequence[tuple[int, bytes]]]:
    """Cut into batches of ordinals that follow each other."""
    runs: list[list[tuple[int, bytes]]] = []
    for record in found:
        last = runs[-1] if runs else []
        if last and len(last) < BATCH and record[0] == last[-1][0] + 1:
            last.append(record)
        else:
            runs.append([record])
    return list(runs)
