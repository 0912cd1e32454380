"""The outbox folder as the relay holds it: one relay at a time, a doorbell, and what lies in it.

If somebody deletes the folder, writers make it anew; lock and doorbell follow them there.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voice_agent.domain.ids import WriterId
from voice_agent.state.outbox import DOORBELL, FRESH_SUFFIX, SUFFIX, short_socket_path

LOCK = "relay.lock"
YIELD = "!yield"
"""Rung by another relay; no writer's id has an exclamation mark."""
ADOPT_S = 60.0
"""A writer needs microseconds from a fresh file to its name; one this old has no writer."""


class AnotherRelay(Exception):
    """The folder has a relay already."""


class FolderLock:
    """The lock that makes a relay the only one of its folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd = -1

    def take(self) -> None:
        """Lock the folder. Raises ``AnotherRelay`` when another process holds the lock."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(fd)
            raise AnotherRelay(str(self._folder)) from exc
        os.truncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self.release()
        self._fd = fd

    def keep(self) -> None:
        """Lock again if the folder was deleted and made anew: another relay could have it."""
        if os.fstat(self._fd).st_nlink == 0 and self._folder.is_dir():
            self.take()

    def release(self) -> None:
        """Let another relay have it. May be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def only_relay_of(folder: Path) -> Iterator[FolderLock]:
    """Hold the folder's lock. Raises ``AnotherRelay`` when another process holds it."""
    lock = FolderLock(folder)
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


def ask_to_yield(folder: Path) -> None:
    """Ask the folder's relay to make room, if its worker is gone. Blocking; losing it is harmless.

    It may have outlived its worker with settings that no longer work.
    """
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.sendto(YIELD.encode(), short_socket_path(folder / DOORBELL))


class Doorbell:
    """The socket that writers ring. ``renew`` when its folder was deleted and made anew."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DOORBELL
        self._socket: socket.socket | None = None

    def fileno(self) -> int:
        """For the event loop's ``add_reader``."""
        return self._socket.fileno() if self._socket else -1

    def open(self) -> None:
        """Bind the socket. Blocking."""
        self._path.unlink(missing_ok=True)
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bell.bind(short_socket_path(self._path))
        self._socket = bell

    def is_gone(self) -> bool:
        """Whether writers cannot find it, though they have a folder. Blocking."""
        return self._path.parent.is_dir() and not self._path.exists()

    def rings(self) -> Iterator[WriterId]:
        """Who rang since the last call."""
        with suppress(BlockingIOError):
            while self._socket is not None:
                yield WriterId(self._socket.recv(256).decode("ascii", "replace"))

    def close(self, *, unlink: bool) -> None:
        """Close it; ``unlink`` also takes its name away. Blocking."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if unlink:
            self._path.unlink(missing_ok=True)


def outboxes(folder: Path, *, now_s: float) -> list[Path]:
    """Every outbox, with those that a dead process was about to write anew. Blocking."""
    for fresh in folder.glob(f"*{FRESH_SUFFIX}"):
        _adopt(fresh, now_s)
    return sorted(folder.glob(f"*{SUFFIX}"))


def _adopt(fresh: Path, now_s: float) -> None:
    """Give a file the name that its writer could not give it any more."""
    name = fresh.with_suffix(SUFFIX)
    with suppress(FileNotFoundError, BlockingIOError), fresh.open("rb") as file:
        if now_s - os.fstat(file.fileno()).st_mtime > ADOPT_S and not name.exists():
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.rename(name)
