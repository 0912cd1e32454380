"""What a running system has started: how a second one, ``stop`` and the next run find it.

Losing the file costs that a system killed with -9 leaves processes behind that nobody ends.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools import locks, processes
from devtools.processes import Process
from devtools.secret_store import write_private
from devtools.servers.server import Server

FILE = "running.json"
LOCK = "running.lock"
ORDER = ("worker", "backend", "postgres", "valkey", "livekit")
PATIENCE_S = {"worker": 15.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One system: who watches it, its page, and its servers' processes by name."""

    mark: str
    watcher: Process | None = None
    url: str | None = None
    servers: Mapping[str, Process] = field(default_factory=dict)


class Bookkeeper:
    """Keeps the ledger of the system in ``folder``; servers start in several threads."""

    def __init__(self, folder: Path, *, mark: str, watcher: int) -> None:
        self._path = folder / FILE
        self._held = Ledger(mark=mark, watcher=processes.process(watcher))
        self._lock = threading.Lock()

    def spawned(self, server: Server) -> None:
        """Write down a process that was just started."""
        one = processes.process(server.pid)
        if one is None:  # gone already
            return
        with self._lock:
            self._write(servers={**self._held.servers, server.name: one}, url=self._held.url)

    def opened(self, url: str) -> None:
        """Write down where the page is."""
        with self._lock:
            self._write(servers=self._held.servers, url=url)

    def closed(self) -> None:
        """All has ended: there is nothing to find."""
        with self._lock:
            self._path.unlink(missing_ok=True)

    def _write(self, *, servers: Mapping[str, Process], url: str | None) -> None:
        self._held = Ledger(
            mark=self._held.mark, watcher=self._held.watcher, url=url, servers=servers
        )
        write(self._path, self._held)


def write(path: Path, ledger: Ledger) -> None:
    """Write a ledger; its URL holds a token, so only the owner can read it."""
    record = {
        "mark": ledger.mark,
        "url": ledger.url,
        "watcher": _plain(ledger.watcher),
        "servers": {name: _plain(one) for name, one in ledger.servers.items()},
    }
    write_private(path, json.dumps(record, indent=2) + "\n")


def read(folder: Path) -> Ledger | None:
    """Read the ledger of a folder; None when there is none, or it is damaged."""
    try:
        record = json.loads((folder / FILE).read_text())
        servers = {str(name): _process(one) for name, one in record["servers"].items()}
        return Ledger(
            mark=str(record["mark"]),
            url=record["url"],
            watcher=_process(record["watcher"]),
            servers={name: one for name, one in servers.items() if one is not None},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_running(folder: Path) -> bool:
    """Whether a system is running in this folder, watched by a live ``run``."""
    return locks.is_held(folder / LOCK)


def left_over(ledger: Ledger) -> list[tuple[str, Process]]:
    """Return what is left of a system, by the server it belongs to, in the order of their end."""
    found = []
    for name in ORDER:
        own = ledger.servers.get(name)
        there = [own] if own is not None and own.lives() else []
        there += [one for one in processes.marked(f"{ledger.mark}/{name}") if one not in there]
        found += [(name, one) for one in there]
    return found


def end_left_over(folder: Path) -> int:
    """End what a killed ``run`` left behind in this folder. Returns how many processes."""
    ledger = read(folder)
    if ledger is None:
        return 0
    ended = 0
    for name in ORDER:
        # Looked up anew for each: a worker takes its relay and its jobs with it.
        there = [one for owner, one in left_over(ledger) if owner == name]
        ended += len(there)
        main = ledger.servers.get(name)
        processes.end([main] if main in there else [], patience_s=PATIENCE_S.get(name, 5.0))
        processes.end(there, patience_s=PATIENCE_S.get(name, 5.0))
    for stale in (FILE, "env"):
        (folder / stale).unlink(missing_ok=True)
    return ended


def _plain(one: Process | None) -> list[int | str] | None:
    return None if one is None else [one.pid, one.started]


def _process(plain: object) -> Process | None:
    match plain:
        case [int(pid), str(at)]:
            return Process(pid=pid, started=at)
        case _:
            return None
