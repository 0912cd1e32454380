"""A real LiveKit server on free ports, and a plain worker for it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.backend.process import ROOT, free_port

KEY = "testkey"
SECRET = "a-secret-of-more-than-thirty-two-characters"


def binary() -> str:
    """Find the server: on PATH, else where ``dev.py`` builds it."""
    found = shutil.which("livekit-server")
    if found:
        return found
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = sorted((cache / "throughline" / "bin").glob("livekit-server*"))
    assert built, "no LiveKit server: `make run` or `make test` builds it once"
    return str(built[-1])


class LiveKit:
    """A LiveKit server of the test's own. ``stop`` and ``start`` keep its ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"ws://127.0.0.1:{self._port}"
        self.settings = {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
        }
        (folder / "livekit.yaml").write_text(
            f"port: {self._port}\n"
            "bind_addresses: [127.0.0.1]\n"
            f"keys: {{{KEY}: {SECRET}}}\n"
            "rtc:\n"
            f"  tcp_port: {free_port()}\n"
            f"  udp_port: {free_port()}\n"
            "  node_ip: 127.0.0.1\n"
            "logging: {level: info}\n"
        )

    def start(self) -> "LiveKit":
        """Start it and wait until it answers."""
        with (self._folder / "livekit.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "--config", str(self._folder / "livekit.yaml")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 15
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "livekit.log").read_text()
            assert time.monotonic() < deadline, "LiveKit does not answer"
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it at once: rooms vanish, as when its machine is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def workers_count(self) -> int:
        """Count the registrations of workers so far."""
        return (self._folder / "livekit.log").read_text("utf-8").count("worker registered")

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url.replace("ws", "http"), timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False


class Worker:
    """A plain worker in a process of its own: its agents join and stay."""

    def __init__(self, livekit: LiveKit, folder: Path) -> None:
        self._log = folder / "worker.log"
        self._livekit = livekit
        self._before = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Worker":
        """Start it; it registers some seconds later."""
        self._before = self._livekit.workers_count()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "plain_worker.py")],
                cwd=ROOT,
                env=os.environ | self._livekit.settings,
                stdout=log,
                stderr=log,
            )
        return self

    def stop(self) -> None:
        """End it at once, with its agents: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def registered(self) -> bool:
        """Say whether LiveKit has heard of a worker since this one was started."""
        return self._livekit.workers_count() > self._before
