"""A process that stood still is told so before its tasks go on."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.support.waiting import wait_for
from voice_agent.aio import pauses
from voice_agent.aio.clock import SystemClock
from voice_agent.aio.pauses import PauseWatch


class JumpingClock(SystemClock):
    """A clock that somebody may set, and whose machine may sleep."""

    set_by = timedelta()
    slept_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.set_by

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.slept_s


async def test_a_pause_is_noticed_once_and_a_clock_that_is_set_is_none() -> None:
    clock = JumpingClock()
    missed: list[float] = []
    with PauseWatch(clock, longest_s=1.5, on_pause=missed.append):
        clock.set_by = timedelta(hours=1)
        await asyncio.sleep(pauses.TICK_S * 2.5)  # it has looked
        assert missed == []
        clock.slept_s = 5.0
        await wait_for(lambda: missed)
        await asyncio.sleep(pauses.TICK_S * 2.5)
    assert len(missed) == 1
    assert 5.0 <= missed[0] < 6.0


async def test_it_runs_before_the_tasks_that_were_held_up() -> None:
    """All are due at once after a pause; the watch is first."""
    clock = JumpingClock()
    order: list[str] = []

    async def speaks() -> None:
        await asyncio.sleep(pauses.TICK_S + 0.02)
        order.append("sound")

    with PauseWatch(clock, longest_s=1.5, on_pause=lambda _: order.append("noticed")):
        task = asyncio.ensure_future(speaks())
        await asyncio.sleep(0)
        clock.slept_s = 5.0
        _block(pauses.TICK_S + 0.05)
        await task
    assert order == ["noticed", "sound"]


def _block(seconds: float) -> None:
    """Stand still, as a stopped process does."""
    clock = SystemClock()
    until_s = clock.monotonic_s() + seconds
    while clock.monotonic_s() < until_s:
        pass
