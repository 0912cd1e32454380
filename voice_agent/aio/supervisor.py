"""Background jobs that cannot outlive their owner and cannot die unseen."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import TransientError

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]


class Jobs:
    """The jobs of one ``supervised`` block."""

    def __init__(self, group: asyncio.TaskGroup, *, clock: Clock, backoff: Backoff) -> None:
        self.stopping = asyncio.Event()
        """Jobs watch it, finish what they hold, and return."""
        self._group = group
        self._clock = clock
        self._backoff = backoff
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, job: Job, *, restarts: int = 0) -> asyncio.Task[None]:
        """Run ``job`` until it returns; restart it after at most ``restarts`` transient errors."""
        task = self._group.create_task(self._run(name, job, restarts), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_optional(self, name: str, job: Job) -> asyncio.Task[None]:
        """Run ``job``; whatever it raises is logged and ends it alone, never its siblings."""
        return self.start(name, lambda: self._contained(name, job))

    async def drain(self, deadline_s: float) -> None:
        """Ask every job to stop; cancel those still running after ``deadline_s`` seconds."""
        self.stopping.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in late:
            log.warning("job cancelled at the drain deadline", extra={"job": task.get_name()})
            task.cancel()

    async def stopped(self, within_s: float) -> bool:
        """Wait for the call to stop, at most ``within_s`` seconds; say whether it did."""
        try:
            async with asyncio.timeout(within_s):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True

    async def _contained(self, name: str, job: Job) -> None:
        try:
            await job()
        except Exception as exc:  # the supervisor: one of the four places (STYLE 19)
            log.exception("job failed", extra={"job": name, "error_type": type(exc).__name__})

    async def _run(self, name: str, job: Job, restarts: int) -> None:
        for attempt in itertools.count():
            try:
                await job()
            except TransientError as exc:
                if attempt == restarts:
                    raise
                log.warning(
                    "job restarting",
                    extra={"job": name, "attempt": attempt, "error_type": type(exc).__name__},
                )
                await self._clock.sleep(self._backoff.delay_s(attempt, hint_s=exc.retry_after_s))
            else:
                return


@asynccontextmanager
async def supervised(*, clock: Clock, backoff: Backoff, drain_s: float) -> AsyncIterator[Jobs]:
    """Own background jobs for the length of an ``async with`` block.

    Leaving the block drains the jobs. A job that fails for good cancels its siblings and the
    block, and comes out as an ``ExceptionGroup``: a call must not go on when the task that writes
    it down has died.
    """
    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group, clock=clock, backoff=backoff)
        yield jobs
        await jobs.drain(drain_s)
