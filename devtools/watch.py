"""Watching the servers: one that dies is said, and started again with back-off."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from devtools.commands import tail
from devtools.console import say
from devtools.errors import DevError
from devtools.paths import shown
from devtools.servers.server import Cancelled, Server

LOOK_S = 0.2
STEADY_S = 60.0
"""A server that lived this long starts again at once."""
DELAYS_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Before the first, second ... restart; after the last one the system ends."""
TAIL_LINES = 5


@dataclass(slots=True, kw_only=True)
class _Record:
    started_at: float
    restarts: int = 0


class Watch:
    """Keeps servers alive until ``stopping`` is set."""

    def __init__(self, servers: Sequence[Server], *, stopping: threading.Event) -> None:
        now = time.monotonic()
        self._records = {server: _Record(started_at=now) for server in servers}
        self._stopping = stopping

    def run(self) -> None:
        """Watch until ``stopping``.

        Raises:
            DevError: a server does not stay up; the others still run.
        """
        while not self._stopping.wait(LOOK_S):
            for server, record in self._records.items():
                if not server.is_running and not self._stopping.is_set():
                    self._revive(server, record)

    def _revive(self, server: Server, record: _Record) -> None:
        if time.monotonic() - record.started_at > STEADY_S:
            record.restarts = 0
        say(f"{server.name} ended ({_how(server.exit_code)}); its log: {shown(server.log_path)}")
        for line in tail(server.log_path, TAIL_LINES).splitlines():
            say(f"  | {line[:300]}")
        if record.restarts == len(DELAYS_S):
            raise DevError(
                f"{server.name} does not stay up: stopping everything;"
                f" its log: {shown(server.log_path)}"
            )
        delay_s = DELAYS_S[record.restarts]
        record.restarts += 1
        if self._stopping.wait(delay_s):
            return
        began_at = time.monotonic()
        try:
            server.start()
        except Cancelled:
            return
        except DevError as exc:
            say(f"{exc.sentence}")
        else:
            say(f"{server.name} is back after {time.monotonic() - began_at:.1f} s")
        record.started_at = time.monotonic()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"
