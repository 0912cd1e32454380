"""The relay: brings what the pod's outboxes hold to the backend, for live and dead jobs alike.

A process of its own, one per outbox folder (file lock). It is told of new records by a datagram on
``relay.sock``, and looks for itself twice a second in case one was lost or a job died. If it dies
nothing is lost: the files stay, and the next one goes on.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.breaker import Breaker
from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs, supervised
from voice_agent.domain.errors import (
    CorruptStateError,
    LayerUnavailable,
    OutboxFull,
    OwnershipLost,
    RequestRefused,
    TransientError,
)
from voice_agent.domain.ids import WriterId
from voice_agent.state.delivery import Delivery, Outcome, Progress
from voice_agent.state.folder import YIELD, AnotherRelay, Doorbell, FolderLock, outboxes
from voice_agent.state.hot_tier import HotTier
from voice_agent.state.ports import Backend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """``look_s``: the slow look for files and records whose datagram was lost.

    ``refused_rest_s``: how long a file rests whose writer or token the backend refuses as a whole.
    """

    folder: Path
    look_s: float = 0.5
    drain_s: float = 10.0
    refused_rest_s: float = 15.0
    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=0.1, cap_s=5.0))


class RelayEvents(Protocol):
    """Who counts what the relay does."""

    def delivered(self, count: int) -> None: ...
    def retried(self, error_type: str) -> None: ...
    def set_aside(self, kind: str) -> None: ...
    def backlog(self, files: int, events: int) -> None: ...


class Relay:
    """The relay of one outbox folder."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        backend: Backend,
        hot: HotTier | None = None,
        clock: Clock,
        events: RelayEvents,
        lock: FolderLock,
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._hot = hot
        self._clock = clock
        self._events = events
        self._lock = lock
        self._bell = Doorbell(settings.folder)
        self._breaker = Breaker(clock=clock)
        self._rung: dict[WriterId, asyncio.Event] = {}
        self._progress: dict[WriterId, Progress] = {}
        self._rung_any = asyncio.Event()
        self._stopping = asyncio.Event()
        self.is_asked_to_yield = False
        """Another relay waits for this folder."""

    def stop(self) -> None:
        """Deliver what there is for at most ``drain_s`` seconds, then end ``run``."""
        self._stopping.set()
        self._rung_any.set()

    async def run(self) -> None:
        """Deliver until ``stop``. Returns when all is drained or the drain's time is over.

        Raises:
            AnotherRelay: the folder was deleted and made anew, and another relay has it now.
        """
        await self._open_bell()
        try:
            async with supervised(
                clock=self._clock, backoff=self._settings.backoff, drain_s=0.0
            ) as jobs:
                usurped = await self._watch(jobs)
        finally:
            asyncio.get_running_loop().remove_reader(self._bell.fileno())
            await asyncio.to_thread(self._bell.close, unlink=True)
        if usurped is not None:
            raise usurped

    async def _open_bell(self) -> None:
        await asyncio.to_thread(self._bell.open)
        asyncio.get_running_loop().add_reader(self._bell.fileno(), self._on_ring)

    @property
    def is_drained(self) -> bool:
        """No outbox is left: every call is over and delivered."""
        return not self._progress

    async def _watch(self, jobs: Jobs) -> AnotherRelay | None:
        """Begin a delivery for each outbox there is, until it is time to end."""
        deadline_s: float | None = None
        while True:
            try:
                await self._keep_folder()
            except AnotherRelay as exc:
                return exc
            for path in await self._outboxes():
                self._begin(jobs, path)
            pending = sum(len(progress.pending) for progress in self._progress.values())
            self._events.backlog(len(self._progress), pending)
            if self._stopping.is_set():
                now_s = self._clock.monotonic_s()
                deadline_s = deadline_s or now_s + self._settings.drain_s
                if self.is_drained or now_s >= deadline_s:
                    return None
            await self._wait(self._rung_any, self._settings.look_s)

    async def _outboxes(self) -> list[Path]:
        now_s = self._clock.now().timestamp()
        return await asyncio.to_thread(outboxes, self._settings.folder, now_s=now_s)

    async def _keep_folder(self) -> None:
        """Somebody may have deleted the folder: writers make it anew, and look for us in it."""
        await asyncio.to_thread(self._lock.keep)
        if await asyncio.to_thread(self._bell.is_gone):
            asyncio.get_running_loop().remove_reader(self._bell.fileno())
            await asyncio.to_thread(self._bell.close, unlink=False)
            await self._open_bell()

    def _begin(self, jobs: Jobs, path: Path) -> None:
        writer_id = WriterId(path.stem)
        if writer_id in self._progress:
            return
        self._progress[writer_id] = Progress()
        self._rung[writer_id] = asyncio.Event()
        jobs.start_optional(f"deliver-{writer_id}", lambda: self._deliver(path, writer_id))

    async def _deliver(self, path: Path, writer_id: WriterId) -> None:
        outcome = Outcome.REPLACED
        try:
            while outcome is Outcome.REPLACED:
                outcome = await self._deliver_file(path, self._progress[writer_id])
        except FileNotFoundError:
            log.debug("outbox file is gone", extra={"layer": "outbox", "writer_id": writer_id})
        finally:
            del self._progress[writer_id], self._rung[writer_id]
            self._rung_any.set()

    async def _deliver_file(self, path: Path, progress: Progress) -> Outcome:
        delivery = Delivery(
            path,
            backend=self._backend,
            hot=self._hot,
            clock=self._clock,
            progress=progress,
        )
        await asyncio.to_thread(delivery.open)
        try:
            return await self._keep_delivering(delivery, progress)
        finally:
            delivery.close()

    async def _keep_delivering(self, delivery: Delivery, progress: Progress) -> Outcome:
        attempt = 0
        while True:
            before = replace(progress)
            try:
                outcome = await self._try(delivery)
            except TransientError as exc:
                attempt += 1
                self._events.retried(type(exc).__name__)
                rest_s = self._settings.backoff.delay_s(attempt, hint_s=exc.retry_after_s)
                await self._clock.sleep(max(rest_s, self._breaker.rest_left_s))
                continue
            except (RequestRefused, OwnershipLost, CorruptStateError) as exc:
                self._report_refused(delivery, exc)
                await self._clock.sleep(self._settings.refused_rest_s)
                continue
            finally:
                self._count(before, progress)
            attempt = 0
            if outcome is not Outcome.GROWING:
                return outcome
            await self._wait(self._rung[delivery.writer_id], self._settings.look_s)

    async def _try(self, delivery: Delivery) -> Outcome:
        try:
            outcome = await delivery.step()
        except LayerUnavailable:
            self._breaker.failed()
            raise
        except OSError as exc:
            log.error("outbox folder cannot be used: free its disk, check its rights",
                      extra={"layer": "outbox", "writer_id": delivery.writer_id,
                             "reason": exc.strerror})  # fmt: skip
            raise OutboxFull(reason=exc.strerror or "unusable") from exc
        self._breaker.succeeded()
        return outcome

    def _count(self, before: Progress, progress: Progress) -> None:
        self._events.delivered(progress.delivered_count - before.delivered_count)
        for kind, count in (
            ("damaged", progress.lost_count - before.lost_count),
            ("gap", progress.gap_count - before.gap_count),
            ("dead_letter", progress.dead_count - before.dead_count),
        ):
            for _ in range(count):
                self._events.set_aside(kind)

    def _report_refused(self, delivery: Delivery, exc: Exception) -> None:
        self._events.set_aside("refused")
        fields = {"layer": "outbox", "op": "deliver", "writer_id": delivery.writer_id,
                  "error_type": type(exc).__name__, "detail": str(exc)}  # fmt: skip
        if isinstance(exc, CorruptStateError):
            log.error("outbox is for a later program: start that one; it is kept", extra=fields)
        else:
            log.error(
                "backend refuses this outbox as a whole: check BACKEND_TOKEN; it is kept and"
                " retried",
                extra={**fields, "layer": "backend"},
            )

    def _on_ring(self) -> None:
        for writer_id in self._bell.rings():
            if writer_id == YIELD:
                self.is_asked_to_yield = True
            (self._rung.get(writer_id) or self._rung_any).set()

    async def _wait(self, event: asyncio.Event, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await event.wait()
        event.clear()
