"""The job that keeps the search index up with the log, without ever being in its way."""

from typing import Final

from backend.clock import monotonic_s
from backend.jobs import Jobs
from backend.storage.ports import Search

STEP: Final = 100
"""Events looked at in one transaction: about 5 ms of the writer's time when all are messages."""
LOOK_S: Final = 0.5
REST: Final = 2.0
"""Rests so many times as long as it worked: others keep two thirds of the database's time."""


async def index(storage: Search, jobs: Jobs) -> None:
    """Index what waits until the stop. Searches do not depend on it: see ``Search.search``."""
    while not jobs.stopping.is_set():
        began = monotonic_s()
        looked_at = await storage.index_messages(limit=STEP)
        pause_s = REST * (monotonic_s() - began) if looked_at else LOOK_S
        await jobs.stopped(within_s=pause_s)
