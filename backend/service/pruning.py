"""The job that forgets what is too old or too much. Killed in between, the next pass goes on."""

import logging
from dataclasses import dataclass
from typing import Final

from backend.clock import monotonic_s, now_ms
from backend.jobs import Jobs
from backend.rules.retention import Keep
from backend.settings import Settings
from backend.storage.ports import Retention

log = logging.getLogger(__name__)

PAGE: Final = 500
STEP: Final = 200
"""Events forgotten in one transaction."""
REST: Final = 3.0
"""Rests so many times as long as it worked: calls go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Looks at all conversations, again and again."""

    storage: Retention
    settings: Settings

    async def run(self, jobs: Jobs) -> None:
        """Prune until the stop."""
        while not jobs.stopping.is_set():
            count = await self.prune_all(jobs)
            if count:
                log.info("old events pruned", extra={"event_count": count})
            await jobs.stopped(within_s=self.settings.retention_look_s)

    async def prune_all(self, jobs: Jobs) -> int:
        """Look at every conversation once; say how many events went."""
        count = 0
        place: tuple[str, str] | None = None
        while not jobs.stopping.is_set():
            found = await self.storage.prunable(self._keep(), after=place, limit=PAGE)
            for tenant, id_ in found:
                count += await self._prune(jobs, tenant, id_)
            if len(found) < PAGE:
                break
            place = found[-1]
        return count

    async def _prune(self, jobs: Jobs, tenant: str, id_: str) -> int:
        count = 0
        while not jobs.stopping.is_set():
            began = monotonic_s()
            gone = await self.storage.prune(tenant, id_, self._keep(), now_ms=now_ms(), limit=STEP)
            count += gone
            await jobs.stopped(within_s=REST * (monotonic_s() - began))
            if gone < STEP:
                break
        return count

    def _keep(self) -> Keep:
        most, age_s = self.settings.retention_events, self.settings.retention_s
        return Keep(
            max_events=most or None,
            since_ms=now_ms() - round(age_s * 1000) if age_s else None,
        )
