"""Who is served first, and what happens when too many want the same model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from voice_agent.providers.local.lanes import Lane, LaneFull

pytestmark = pytest.mark.timeout(20)


@asynccontextmanager
async def running(lane: Lane) -> AsyncIterator[Lane]:
    task = asyncio.create_task(lane.run())
    try:
        yield lane
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Blocked:
    """Work that holds the only thread until it is released."""

    def __init__(self) -> None:
        self._release = threading.Event()
        self.started = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        self._loop.call_soon_threadsafe(self.started.set)
        assert self._release.wait(10)

    def release(self) -> None:
        self._release.set()


async def waiting(lane: Lane, count: int) -> None:
    async with asyncio.timeout(5):
        while lane.waiting_count != count:
            await asyncio.sleep(0)


async def test_who_runs_dry_first_is_served_first() -> None:
    served: list[str] = []
    async with running(Lane("test", workers=1, queued=9)) as lane:
        blocked = Blocked()
        async with asyncio.TaskGroup() as group:
            group.create_task(lane.do(blocked, due_at=0.0))
            await blocked.started.wait()
            for name, due_at in (("late", 9.0), ("soon", 2.0), ("now", 1.0)):
                group.create_task(lane.do(partial(served.append, name), due_at=due_at))
            await waiting(lane, 3)
            blocked.release()
    assert served == ["now", "soon", "late"]


async def test_a_full_lane_refuses_at_once_and_a_cancelled_job_makes_room() -> None:
    served: list[str] = []
    async with running(Lane("test", workers=1, queued=1)) as lane:
        blocked = Blocked()
        first = asyncio.create_task(lane.do(blocked, due_at=0.0))
        await blocked.started.wait()
        second = asyncio.create_task(lane.do(lambda: served.append("second"), due_at=1.0))
        await waiting(lane, 1)
        with pytest.raises(LaneFull):
            await lane.do(lambda: None, due_at=0.0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        third = asyncio.create_task(lane.do(lambda: served.append("third"), due_at=1.0))
        await waiting(lane, 1)
        blocked.release()
        await asyncio.gather(first, third)
    assert served == ["third"]
    assert lane.refused_count == 1


async def test_a_job_that_fails_harms_only_its_own_client() -> None:
    def fail() -> None:
        raise ValueError("broken")

    async with running(Lane("test", workers=1, queued=9)) as lane:
        with pytest.raises(ValueError, match="broken"):
            await lane.do(fail, due_at=0.0)
        assert await lane.do(lambda: 7, due_at=0.0) == 7
