"""Background jobs that cannot outlive the server and cannot die unseen.

Losing a job loses no data: what it was about to do is in the database and is done after the next
start. Retention, archive and sweeps start here too.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from backend.errors import Unavailable

log = logging.getLogger(__name__)

Job = Callable[["Jobs"], Awaitable[None]]

_RESTART_S: Final = 1.0
_LONGEST_RESTART_S: Final = 30.0


class Jobs:
    """The jobs of one ``supervised`` block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.stopping = asyncio.Event()
        """Jobs watch it, finish what they hold, and return."""
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, job: Job) -> None:
        """Run ``job`` until it returns; when it fails, say so and run it again."""
        task = self._group.create_task(self._run(name, job), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stopped(self, *, within_s: float) -> bool:
        """Wait for the stop, at most ``within_s`` seconds; say whether it came."""
        try:
            async with asyncio.timeout(within_s):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True

    async def until_stopped(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work``; cancel it when the jobs are to stop."""
        running = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            running.cancel()
            stop.cancel()
            await asyncio.gather(running, stop, return_exceptions=True)

    async def drain(self, deadline_s: float) -> None:
        """Ask every job to stop; cancel those still running after ``deadline_s`` seconds."""
        self.stopping.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in late:
            log.warning("job cancelled at the drain deadline", extra={"job": task.get_name()})
            task.cancel()

    async def _run(self, name: str, job: Job) -> None:
        delay_s = _RESTART_S
        while not self.stopping.is_set():
            try:
                await job(self)
                return
            except Unavailable as exc:  # no fault of the job's: it goes on when it is back
                log.warning(
                    "job waits for a part that is away", extra={"job": name, "outcome": exc.code}
                )
            except Exception as exc:
                log.exception(
                    "job restarting", extra={"job": name, "error_type": type(exc).__name__}
                )
            await self.stopped(within_s=random.uniform(0, delay_s))  # noqa: S311 - jitter
            delay_s = min(delay_s * 2, _LONGEST_RESTART_S)


@asynccontextmanager
async def supervised(*, drain_s: float) -> AsyncIterator[Jobs]:
    """Own background jobs for the length of an ``async with`` block; leaving it drains them."""
    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group)
        try:
            yield jobs
        finally:
            await jobs.drain(drain_s)
