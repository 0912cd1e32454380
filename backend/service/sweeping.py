"""The job that ends the writers of lost pods, whom nobody else can end.

A writer is ended only when this process, with its database in reach, saw no sign of it between two
looks. So a backend that was away, and is asked by every agent again, ends nobody. Ending one that
lives after all, cut off for longer, costs no word: what it writes is taken as before.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

from backend.clock import now_ms
from backend.jobs import Jobs
from backend.storage.ports import Writers
from backend.storage.records import SilentWriter, WriterEnd

log = logging.getLogger(__name__)

REASON: Final = "agent_lost"
PAGE: Final = 500
LOOKS: Final = 10
"""So many times within ``lost_s``: one is ended a tenth later than it could be."""


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Looks at all writers without a lease, again and again. One serves one event loop."""

    storage: Writers
    lost_s: float
    _seen: frozenset[SilentWriter] = field(default=frozenset(), init=False)

    async def run(self, jobs: Jobs) -> None:
        """Sweep until the stop."""
        while not jobs.stopping.is_set():
            count = await self.sweep(jobs)
            if count:
                log.info("lost writers ended", extra={"writer_count": count})
            await jobs.stopped(within_s=self.lost_s / LOOKS)

    async def sweep(self, jobs: Jobs) -> int:
        """Look at every silent writer once; end those that gave no sign since the last look."""
        now = now_ms()
        seen, self._seen = self._seen, frozenset()  # should it fail: nobody could give a sign
        silent: set[SilentWriter] = set()
        count = 0
        place: SilentWriter | None = None
        while not jobs.stopping.is_set():
            page = await self.storage.silent_writers(
                before_ms=now - round(self.lost_s * 1000), after=place, limit=PAGE
            )
            for writer in page:
                if writer in seen:
                    await self._end(writer, now)
                    count += 1
                else:
                    silent.add(writer)
            if len(page) < PAGE:
                break
            place = page[-1]
        self._seen = frozenset(silent)
        return count

    async def _end(self, writer: SilentWriter, now: int) -> None:
        end = WriterEnd(reason=REASON, at_ms=writer.last_sign_ms, last_ordinal=None)
        await self.storage.end_writer(
            writer.tenant, writer.conversation_id, writer.writer_id, end, now_ms=now
        )
