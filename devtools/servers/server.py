"""One program: started with its output in a log, waited for until it can serve, ended whole.

Synchronous: ``run`` has threads for it, and async tests call it with ``asyncio.to_thread``.
"""

import http.client
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from devtools import processes
from devtools.commands import tail
from devtools.errors import DevError
from devtools.paths import ROOT, shown
from devtools.ports import LOOPBACK

POLL_S = 0.03
TAIL_LINES = 6
OURS = ("VOICE_", "LIVEKIT_", "REDIS_", "BACKEND_", "GOOGLE_", "OPENAI_", "OTEL_", "METRICS_")


class StartFailed(DevError):
    """A server ended at its start, or did not get ready in time."""


class Cancelled(DevError):
    """Someone asked to stop while a server was being waited for."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment without anything that the system's programs read.

    Nor anything that makes each of their starts compile livekit-agents anew (some seconds).
    """
    unwanted = (*OURS, "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where servers run.

    Args:
        folder: for logs and data.
        environ: what they are started with, beside their own settings.
        mark: put into their environment; whatever they leave behind is found by it.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=clean_environment)
    mark: str = field(default_factory=processes.new_mark)

    def with_environ(self, more: Mapping[str, str]) -> "Place":
        """Return the same place for a server that is told more."""
        return replace(self, environ={**self.environ, **more})


class Server(ABC):
    """One program. ``start`` may be called again after ``stop`` or ``kill9``: same ports and data.

    ``uses``: the servers whose ``env`` it is started with.
    """

    name: ClassVar[str]
    ready_s: ClassVar[float] = 20.0
    stop_s: ClassVar[float] = 5.0
    left_overs_s: ClassVar[float] = 1.0

    def __init__(self, place: Place, *, uses: Sequence["Server"] = ()) -> None:
        self.folder = place.folder
        self.log_path = place.folder / "logs" / f"{self.name}.log"
        self.mark = f"{place.mark}/{self.name}"
        self.cancelled = threading.Event()
        self.on_spawn: Callable[[Server], None] = lambda _: None
        self._given = place.environ
        self._uses = uses
        self._child: subprocess.Popen[bytes] | None = None
        self._log_began = 0

    @property
    @abstractmethod
    def env(self) -> dict[str, str]:
        """What a program needs in its environment to use this server."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it can serve now."""

    @property
    def environ(self) -> dict[str, str]:
        """The whole environment it is started with."""
        used = {name: value for one in self._uses for name, value in one.env.items()}
        return {**self._given, **used, **self.settings(), "PYTHONUNBUFFERED": "1"}

    def settings(self) -> dict[str, str]:
        """Return what its own environment has beside what it was given."""
        return {}

    @property
    def pid(self) -> int:
        """The main process. Raises ``DevError`` when it was never started."""
        if self._child is None:
            raise DevError(f"{self.name} was not started")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None: it runs, or was never started."""
        return None if self._child is None else self._child.poll()

    @property
    def is_running(self) -> bool:
        """Whether the main process is there."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            StartFailed: it ended, or is not ready within ``ready_s``; what is left of it is gone.
            Cancelled: ``cancelled`` was set meanwhile.
        """
        self.spawn()
        try:
            self.wait_ready()
        except DevError:
            self.stop()
            raise

    def spawn(self) -> None:
        """Start it without waiting."""
        if self.is_running:
            raise DevError(f"{self.name} runs already")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        environ = {**self.environ, processes.MARK: self.mark}
        with self.log_path.open("ab") as out:
            self._log_began = out.tell()
            # A session of its own: a Ctrl-C in the terminal reaches it through us, in order.
            self._child = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environ,
                cwd=ROOT,
                start_new_session=True,
            )
        self.on_spawn(self)

    def wait_ready(self) -> None:
        """Wait until it can serve; see ``start``."""
        deadline = time.monotonic() + self.ready_s
        while not self.is_ready():
            if self.cancelled.is_set():
                raise Cancelled(f"{self.name}: stopped while it was starting")
            if not self.is_running:
                raise self._failed(f"ended at its start with code {self.exit_code}")
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready after {self.ready_s:.0f} s")
            time.sleep(POLL_S)

    def _failed(self, what: str) -> StartFailed:
        return StartFailed(
            f"{self.name} {what}; its log: {shown(self.log_path)}",
            details=tail(self.log_path, TAIL_LINES),
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """End it: SIGTERM, SIGKILL after ``stop_s``; then what it left behind, likewise."""
        self.ask_to_stop()
        if self._child is not None:
            try:
                self._child.wait(self.stop_s)
            except subprocess.TimeoutExpired:
                self.kill9()
            left = processes.wait_gone(processes.marked(self.mark), within_s=self.left_overs_s)
            processes.end(left, patience_s=1.0)

    def kill9(self) -> None:
        """Kill the main process at once; its children are left to themselves."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def kill_all(self) -> None:
        """Kill the main process and everything it started, at once."""
        self.kill9()
        for one in processes.marked(self.mark):
            one.signal(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again with the same ports and data."""
        self.stop()
        self.start()

    def log(self) -> str:
        """Return what it has written since its last start."""
        try:
            with self.log_path.open("rb") as stream:
                stream.seek(self._log_began)
                return stream.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def answers(port: int, path: str, *, token: str | None = None) -> int | None:
    """Return the status of a GET on loopback, or None when nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2.0)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
