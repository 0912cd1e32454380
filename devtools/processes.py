"""Processes by id and start time, so that a reused id is never taken for one of ours.

What we start carries a mark in its environment, which its own children inherit: on Linux even a
process that detached itself is found by it.
"""

import os
import secrets
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devtools.commands import output_of

MARK = "THROUGHLINE_RUN"
PROC = Path("/proc")
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of this machine, for as long as it lives. ``started``: in the system's words."""

    pid: int
    started: str

    def lives(self) -> bool:
        """Whether this very process is still there; a zombie is not."""
        return started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is still the same process."""
        if self.lives():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def started(pid: int) -> str | None:
    """Return when a process started, or None when there is no such (or only a zombie)."""
    if PROC.is_dir():
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in {"Z", "X"} else fields[19]
    answer = output_of(["ps", "-o", "stat=,lstart=", "-p", str(pid)])
    state, _, at = (answer or "").strip().partition(" ")
    return at.strip() if state and not state.startswith("Z") else None


def process(pid: int) -> Process | None:
    """Return the process that has this id now."""
    at = started(pid)
    return None if at is None else Process(pid=pid, started=at)


def new_mark() -> str:
    """Return a mark for what this process starts; it continues this process's own, if any."""
    own = os.environ.get(MARK)
    return f"{own}/{secrets.token_hex(6)}" if own else secrets.token_hex(6)


def marked(mark: str) -> list[Process]:
    """Return the processes that carry ``mark`` or one that continues it with a slash."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in PROC.glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        try:
            names = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or another user's
            continue
        if any(name == wanted or name.startswith(wanted + b"/") for name in names):
            one = process(pid)
            if one is not None:
                found.append(one)
    return found


def wait_gone(processes: Iterable[Process], *, within_s: float) -> list[Process]:
    """Wait until they have ended; return those that have not in time."""
    deadline = time.monotonic() + within_s
    left = [one for one in processes if one.lives()]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [one for one in left if one.lives()]
    return left


def end(processes: Iterable[Process], *, patience_s: float) -> int:
    """End them: SIGTERM, and SIGKILL after ``patience_s``. Returns how many there were."""
    there = [one for one in processes if one.lives()]
    for one in there:
        one.signal(signal.SIGTERM)
    for one in wait_gone(there, within_s=patience_s):
        one.signal(signal.SIGKILL)
    wait_gone(there, within_s=5.0)
    return len(there)
