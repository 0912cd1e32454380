"""Who is served first when several calls want the same model.

A lane owns a few threads (the native code releases the interpreter's lock) and a bounded queue.
Whoever runs dry first is served first: each job carries the instant at which its result is needed,
so a caller who hears nothing yet comes before one who still has two seconds of audio to play, and
a final transcript before words for the screen.

When the queue is full a job is refused at once: late speech is worth less than a quick "busy"
that the client can retry or drop. A lane that fails loses the requests it holds and nothing else.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class LaneFull(Exception):
    """The queue is at its bound: try again later, or do without."""


@dataclass(order=True, slots=True)
class _Job:
    due_at: float
    number: int
    work: Callable[[], Any] = field(compare=False)  # what it returns goes to its own waiter
    done: asyncio.Future[Any] = field(compare=False)


class Lane:
    """A bounded queue in front of ``workers`` threads, earliest deadline first."""

    def __init__(self, name: str, *, workers: int, queued: int) -> None:
        self._name = name
        self._workers = workers
        self._bound = queued
        self._heap: list[_Job] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Condition()
        self.served_count = 0
        self.refused_count = 0

    @property
    def waiting_count(self) -> int:
        """How many jobs wait for a thread (cancelled ones not counted)."""
        return sum(1 for job in self._heap if not job.done.done())

    async def run(self) -> None:
        """Serve until cancelled."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix=self._name) as threads:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._serve(threads), name=f"{self._name}-{number}")

    async def do(self, work: Callable[[], T], *, due_at: float) -> T:
        """Run ``work`` in a thread and return its result.

        Args:
            work: blocking; may be run on any thread of the lane.
            due_at: loop time at which the result is needed; only orders the queue.

        Raises:
            LaneFull: too many wait already.
            Exception: whatever ``work`` raised.

        Cancellation: a job that still waits is dropped; one that runs ends unheard.
        """
        async with self._changed:
            if self.waiting_count >= self._bound:
                self.refused_count += 1
                raise LaneFull(self._name)
            done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            job = _Job(due_at=due_at, number=next(self._numbers), work=work, done=done)
            heapq.heappush(self._heap, job)
            self._changed.notify()
        return await done

    async def _serve(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._heap))
                job = heapq.heappop(self._heap)
            if job.done.done():  # its client has gone
                continue
            try:
                result = await loop.run_in_executor(threads, job.work)
            except Exception as exc:  # noqa: BLE001 - belongs to the waiter, not to the lane
                if not job.done.done():
                    job.done.set_exception(exc)
            else:
                self.served_count += 1
                if not job.done.done():
                    job.done.set_result(result)
