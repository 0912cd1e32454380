"""The load that LiveKit is told: ours, not the whole machine's.

The default (CPU of the machine) makes a worker refuse calls because of somebody else's program, and
a refused dispatch is lost for good (docs/livekit-agents.md).
"""

from collections.abc import Callable

import psutil

from voice_agent.aio.clock import Clock

THRESHOLD = 0.99
"""At this load the worker is full. Loads are scaled so that our own limits come out as 1."""
SAMPLE_S = 2.0
"""A share measured over less than this is noise."""
SETTLE_SAMPLES = 2
"""One busy sample is a process starting; two in a row are load."""


class Load:
    """Rooms against capacity, and the CPU of our own process tree."""

    def __init__(
        self, *, rooms: int, cpu_limit: float, active: Callable[[], int], clock: Clock
    ) -> None:
        self._rooms = rooms
        self._cpu_limit = cpu_limit
        self._active = active
        self._cores = psutil.cpu_count() or 1
        self._processes: dict[int, psutil.Process] = {}
        self._busy_in_a_row = 0
        self._clock = clock
        self._sampled_at_s = float("-inf")
        self._by_cpu = 0.0

    def __call__(self) -> float:
        """The load, 0 to 1. Called by livekit-agents some times a second, in a thread."""
        by_rooms = min(1.0, self._active() / self._rooms)
        now_s = self._clock.monotonic_s()
        if now_s - self._sampled_at_s >= SAMPLE_S:
            self._sampled_at_s = now_s
            self._by_cpu = self._smoothed(self._cpu_share() / self._cpu_limit)
        return min(1.0, max(by_rooms, self._by_cpu))

    def _smoothed(self, by_cpu: float) -> float:
        self._busy_in_a_row = self._busy_in_a_row + 1 if by_cpu >= 1 else 0
        if by_cpu >= 1 and self._busy_in_a_row < SETTLE_SAMPLES:
            return THRESHOLD - 0.01
        return by_cpu

    def _cpu_share(self) -> float:
        """Share of all cores that our tree used since the last call."""
        me = psutil.Process()
        alive = {process.pid: process for process in [me, *me.children(recursive=True)]}
        total = 0.0
        for pid, process in alive.items():
            known = self._processes.setdefault(pid, process)
            try:
                total += known.cpu_percent()
            except psutil.Error:
                continue
        self._processes = {pid: self._processes[pid] for pid in alive}
        return total / 100 / self._cores
