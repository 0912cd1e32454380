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
        self._watches: set[asyncio.Task[None]] = set()

    def start(self, name: str, job: Job, *, restarts: int = 0) -> asyncio.Task[None]:
        """Run ``job`` until it returns; restart it after at most ``restarts`` transient errors."""
        task = self._group.create_task(self._run(name, job, restarts), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_optional(self, name: str, job: Job) -> asyncio.Task[None]:
        """Run ``job``; whatever it raises is logged and ends it alone, never its siblings."""
        return self.start(name, lambda: self._contained(name, job))

    def start_watch(self, name: str, job: Job) -> asyncio.Task[None]:
        """Run a ``job`` that only waits for something: the drain cancels it without a word."""
        task = self.start_optional(name, job)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return task

    async def drain(self, deadline_s: float) -> None:
        """Ask every job to stop; cancel those still running after ``deadline_s`` seconds."""
        self.stopping.set()
        for task in self._watches:
            task.cancel()
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
        except Exception as exc:  # the supervisor: one of the four places (CONTRIBUTING.md)
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


class Supervision:
    """A ``supervised`` block whose beginning and end lie in different callbacks.

    livekit-agents calls one function at the start of a job and another at its end; between them the
    job's own tasks live here.
    """

    def __init__(
        self, *, clock: Clock, backoff: Backoff, drain_s: float, on_failure: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._backoff = backoff
        self._drain_s = drain_s
        self._on_failure = on_failure
        self._done = asyncio.Event()
        self._jobs: asyncio.Future[Jobs] | None = None
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> Jobs:
        """Open the block and return its jobs."""
        self._jobs = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(self._jobs), name="supervision")
        return await self._jobs

    async def stop(self) -> None:
        """Drain the jobs and close the block. May be repeated; never raises."""
        self._done.set()
        if self._life is not None:
            await asyncio.wait({self._life})

    async def _live(self, jobs: asyncio.Future[Jobs]) -> None:
        try:
            async with supervised(
                clock=self._clock, backoff=self._backoff, drain_s=self._drain_s
            ) as opened:
                jobs.set_result(opened)
                await self._done.wait()
        except ExceptionGroup as exc:
            log.exception("a job of the call failed for good", extra={"error_type": repr(exc)})
            self._on_failure()
