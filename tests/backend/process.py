"""A backend in a process of its own, which a test may kill."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
READY_S = 45.0


def free_port() -> int:
    """Find a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a backend command: none of the caller's own settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VOICE_", "LIVEKIT_", "BACKEND_", "REDIS_"))
    }
    ours = {
        "VOICE_BACKEND__DATABASE_URL": f"sqlite:///{folder / 'backend.db'}",
        "VOICE_BACKEND__METRICS_PORT": "0",
        "VOICE_BACKEND__WEB_FOLDER": str(folder / "no-pages"),
    }
    return kept | ours | dict(settings)


def command(
    folder: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a backend command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        cwd=ROOT,
        env=environment(folder, settings or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class Backend:
    """A running backend. ``kill`` and ``start`` again to restart it on the same port and file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Backend":
        """Start it and wait until it answers."""
        self.spawn()
        self.wait_ready()
        return self

    def spawn(self) -> None:
        """Start it."""
        settings = {"VOICE_BACKEND__PORT": str(self.port)} | self._settings
        log = (self.folder / "backend.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "backend", "serve"],
                cwd=ROOT,
                env=environment(self.folder, settings),
                stdout=log,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Wait until it answers."""
        assert self._process is not None
        deadline = time.monotonic() + READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"backend not ready: {self.log()[-2000:]}")
            time.sleep(0.02)

    def token(self, scope: str = "admin", tenant: str = "acme", ttl_s: int | None = None) -> str:
        """Make a token with the command an operator uses."""
        ttl = () if ttl_s is None else ("--ttl-s", str(ttl_s))
        words = ("token", "create", "--tenant", tenant, "--scope", scope, *ttl)
        done = command(self.folder, *words, settings=self._settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, token: str) -> httpx.Client:
        """Make an HTTP client that shows ``token``."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10.0)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it politely; return its exit code."""
        return self._end(signal.SIGTERM)

    def log(self) -> str:
        """Read what it logged."""
        return (self.folder / "backend.log").read_text("utf-8")

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=1.0).status_code == 200
        except httpx.TransportError:
            return False
