"""The worker's main process: LiveKit's AgentServer, and the processes beside it.

The speech process and the relay begin before the worker tells LiveKit that it is there, and end
after the last job: the relay has then delivered what the jobs wrote.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentServer

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.children import Child, ChildCommand
from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Supervision
from voice_agent.telemetry.metrics import WorkerMetrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What runs beside the jobs. ``ready``: whether the children can serve the first call."""

    children: Sequence[ChildCommand]
    ready: Callable[[], bool]
    ready_s: float
    open_metrics: Callable[[], WorkerMetrics]
    on_running: Callable[[], None]
    on_closed: Callable[[], None]


class VoiceServer(AgentServer):
    """AgentServer with children: what begins with it and ends after it."""

    def __init__(
        self,
        beside: Beside,
        *,
        clock: Clock,
        **options: Any,  # AgentServer's own
    ) -> None:
        super().__init__(**options)
        backoff = Backoff(base_s=0.2, cap_s=5.0)
        self._children = [
            Child(command, clock=clock, backoff=backoff) for command in beside.children
        ]
        self._clock = clock
        self._what = beside
        self._metrics: WorkerMetrics | None = None
        self._beside = Supervision(
            clock=clock, backoff=backoff, drain_s=1.0, on_failure=lambda: None
        )
        self._open = AsyncExitStack()

    async def run(self, *, devmode: bool = False, unregistered: bool = False) -> None:
        """Start the children, wait until they can serve, then take calls."""
        loop = asyncio.get_running_loop()
        metrics = self._metrics = self._what.open_metrics()
        metrics.rooms.set_function(lambda: self.room_count)
        loop.add_reader(metrics.fileno(), metrics.receive)
        self._open.callback(metrics.close)
        self._open.callback(loop.remove_reader, metrics.fileno())
        self._what.on_running()
        jobs = await self._beside.start()
        for child in self._children:
            jobs.start_optional("child", child.keep)
        await self._wait_until_ready()
        await super().run(devmode=devmode, unregistered=unregistered)

    async def aclose(self) -> None:
        """End the jobs, then the children, in that order."""
        await super().aclose()
        await asyncio.gather(*(child.stop() for child in self._children))
        await self._beside.stop()
        await self._open.aclose()
        self._what.on_closed()

    async def _wait_until_ready(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._what.ready_s
        while not self._what.ready():
            if self._clock.monotonic_s() > deadline_s:
                log.error(
                    "voices are not ready: calls are taken all the same; see the log above",
                    extra={"op": "start"},
                )
                return
            await self._clock.sleep(0.05)

    @property
    def room_count(self) -> int:
        """Calls running now."""
        return len(self.active_jobs)
