"""The relay: brings what the pod's outboxes hold to the backend, for live and dead jobs alike.

A process of its own, one per outbox folder (file lock). It is told of new records by a datagram on
``relay.sock``, and looks for itself twice a second in case one was lost or a job died. If it dies
nothing is lost: the files stay, and the next one goes on.
"""

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.breaker import Breaker
from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs, supervised
from voice_agent.domain.errors import (
    CorruptStateError,
    OwnershipLost,
    RequestRefused,
    TransientError,
)
from voice_agent.domain.ids import WriterId
from voice_agent.state.delivery import Delivery, Progress
from voice_agent.state.outbox import DOORBELL, SUFFIX, short_socket_path
from voice_agent.state.ports import Backend

log = logging.getLogger(__name__)

LOCK = "relay.lock"


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


class AnotherRelay(Exception):
    """The folder has a relay already."""


@contextmanager
def only_relay_of(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises ``AnotherRelay`` when another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    except BlockingIOError as exc:
        raise AnotherRelay(str(folder)) from exc
    finally:
        os.close(fd)


class Relay:
    """The relay of one outbox folder."""

    def __init__(
        self, settings: RelaySettings, *, backend: Backend, clock: Clock, events: RelayEvents
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._clock = clock
        self._events = events
        self._breaker = Breaker(clock=clock)
        self._rung: dict[WriterId, asyncio.Event] = {}
        self._progress: dict[WriterId, Progress] = {}
        self._rung_any = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Deliver what there is for at most ``drain_s`` seconds, then end ``run``."""
        self._stopping.set()
        self._rung_any.set()

    async def run(self) -> None:
        """Deliver until ``stop``. Returns when all is drained or the drain's time is over."""
        loop = asyncio.get_running_loop()
        bell = await asyncio.to_thread(_doorbell, self._settings.folder)
        loop.add_reader(bell, self._on_ring, bell)
        try:
            async with supervised(
                clock=self._clock, backoff=self._settings.backoff, drain_s=0.0
            ) as jobs:
                await self._watch(jobs)
        finally:
            loop.remove_reader(bell)
            bell.close()
            await asyncio.to_thread((self._settings.folder / DOORBELL).unlink, missing_ok=True)

    @property
    def is_drained(self) -> bool:
        """No outbox is left: every call is over and delivered."""
        return not self._progress

    async def _watch(self, jobs: Jobs) -> None:
        deadline_s: float | None = None
        while True:
            for path in await asyncio.to_thread(_outboxes, self._settings.folder):
                self._begin(jobs, path)
            pending = sum(len(progress.pending) for progress in self._progress.values())
            self._events.backlog(len(self._progress), pending)
            if self._stopping.is_set():
                now_s = self._clock.monotonic_s()
                deadline_s = deadline_s or now_s + self._settings.drain_s
                if self.is_drained or now_s >= deadline_s:
                    return
            await self._wait(self._rung_any, self._settings.look_s)

    def _begin(self, jobs: Jobs, path: Path) -> None:
        writer_id = WriterId(path.stem)
        if writer_id in self._progress:
            return
        self._progress[writer_id] = Progress()
        self._rung[writer_id] = asyncio.Event()
        jobs.start_optional(f"deliver-{writer_id}", lambda: self._deliver(path, writer_id))

    async def _deliver(self, path: Path, writer_id: WriterId) -> None:
        progress = self._progress[writer_id]
        delivery = Delivery(path, backend=self._backend, clock=self._clock, progress=progress)
        try:
            await asyncio.to_thread(delivery.open)
            await self._keep_delivering(delivery, progress)
        except FileNotFoundError:
            log.error(
                "outbox file is gone: what was not delivered is lost",
                extra={"layer": "outbox", "writer_id": writer_id},
            )
        finally:
            delivery.close()
            del self._progress[writer_id], self._rung[writer_id]
            self._rung_any.set()

    async def _keep_delivering(self, delivery: Delivery, progress: Progress) -> None:
        attempt = 0
        while True:
            before = progress.delivered_count
            try:
                settled = await self._try(delivery)
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
                self._events.delivered(progress.delivered_count - before)
            attempt = 0
            if settled:
                return
            await self._wait(self._rung[delivery.writer_id], self._settings.look_s)

    async def _try(self, delivery: Delivery) -> bool:
        try:
            settled = await delivery.step()
        except TransientError:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return settled

    def _report_refused(self, delivery: Delivery, exc: Exception) -> None:
        self._events.set_aside("refused")
        log.error(
            "backend refuses this outbox as a whole: check BACKEND_TOKEN; it is kept and retried",
            extra={"layer": "backend", "op": "deliver", "writer_id": delivery.writer_id,
                   "error_type": type(exc).__name__, "detail": str(exc)},
        )  # fmt: skip

    def _on_ring(self, bell: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                writer_id = WriterId(bell.recv(256).decode("ascii", "replace"))
                event = self._rung.get(writer_id)
                (event or self._rung_any).set()

    async def _wait(self, event: asyncio.Event, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await event.wait()
        event.clear()


def _doorbell(folder: Path) -> socket.socket:
    (folder / DOORBELL).unlink(missing_ok=True)
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    bell.bind(short_socket_path(folder / DOORBELL))
    return bell


def _outboxes(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))
