"""Records that survive the loss of power: fdatasync in groups, from one thread of the process.

While one sync runs the next records gather, so the thread is never further behind than one sync
(facts/performance.md §1: 14 times the rate of a sync for each record, at 12 % more delay). The
event loop never waits for it; whoever needs the promise awaits ``synced``.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voice_agent.domain.errors import LayerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the thread is asked for: bring ``fd`` to the disk, as far as record ``ordinal``."""

    fd: int = -1
    ordinal: int = 0
    folder: Path | None = None
    close: bool = False
    stop: bool = False


class GroupSync:
    """The syncing thread of one outbox. Everything but ``_run`` belongs to the event loop."""

    def __init__(self, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._sync = sync
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._synced = 0
        self._failed: str | None = None

    def start(self) -> None:
        """Start the thread, if it does not run."""
        if self._thread is None:
            # A daemon: a job that is torn down without ``close`` must not hang for it.
            self._thread = threading.Thread(target=self._run, name="outbox-sync", daemon=True)
            self._thread.start()

    def wrote(self, fd: int, ordinal: int) -> None:
        """Have what was written to ``fd`` so far synced. Returns at once."""
        self._work.put(_Work(fd=fd, ordinal=ordinal))

    def created(self, folder: Path) -> None:
        """Have the name of a new file synced: without it the file is gone after a power cut."""
        self._work.put(_Work(folder=folder))

    def close_file(self, fd: int) -> None:
        """Sync and close ``fd``: only the thread knows when it has done with it."""
        self._work.put(_Work(fd=fd, close=True))

    def stop(self) -> None:
        """End the thread after what it was asked for. May be repeated."""
        if self._thread is not None:
            self._work.put(_Work(stop=True))
            self._thread = None

    async def synced(self, ordinal: int) -> None:
        """Wait until record ``ordinal`` survives the loss of power.

        Raises:
            LayerUnavailable: the disk failed to sync: nobody knows what it holds.
        """
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((ordinal, done))
        self._tell()  # after both: the thread notes what is synced before it looks for a loop
        await done
        if self._failed is not None:
            raise LayerUnavailable(layer="outbox", op="sync", detail=self._failed)

    def _tell(self) -> None:
        """On the loop: wake those whose record is safe, or everybody after a failure."""
        for ordinal, done in self._waiting:
            if not done.done() and (ordinal <= self._synced or self._failed):
                done.set_result(None)
        self._waiting = [(o, done) for o, done in self._waiting if not done.done()]

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group = [self._work.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    group.append(self._work.get_nowait())
            self._bring_to_disk(group)
            stopping = any(work.stop for work in group)
            loop = self._loop
            if loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(self._tell)

    def _bring_to_disk(self, group: list[_Work]) -> None:
        try:
            for fd in dict.fromkeys(work.fd for work in group if work.fd >= 0):
                self._sync(fd)
            for folder in {work.folder for work in group if work.folder is not None}:
                _sync_folder(folder)
        except OSError as exc:
            self._failed = exc.strerror or "sync failed"
        else:
            self._synced = max(self._synced, *(work.ordinal for work in group))
            if any(work.folder for work in group):
                self._failed = None  # a new file: what failed was another one
        for work in group:
            if work.close:
                os.close(work.fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
