"""Notices that the whole process stood still: SIGSTOP, a frozen machine, a starved event loop."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from voice_agent.aio.clock import Clock

TICK_S = 0.1


class PauseWatch:
    """Calls ``on_pause`` with the seconds that were missed, as the first thing after a pause.

    By the monotonic clock: setting the machine's clock is no pause. A timer and not a task, so that
    it runs before the tasks that the pause has held up.
    """

    def __init__(
        self, clock: Clock, *, longest_s: float, on_pause: Callable[[float], None]
    ) -> None:
        """``longest_s``: a shorter pause is none."""
        self._clock = clock
        self._longest_s = longest_s
        self._on_pause = on_pause
        self._last_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._last_s = self._clock.monotonic_s()
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        missed_s, self._last_s = now_s - self._last_s, now_s
        self._arm()
        if missed_s > self._longest_s:
            self._on_pause(missed_s)
