"""The speech server as a process that tests start, kill and start again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from voice_agent.domain.errors import LayerUnavailable
from voice_agent.providers.local import SpeechClient

ROOT = Path(__file__).parents[3]
START_S = 30.0


class ServerProcess:
    """The speech server as its own process, which a test may kill and start again."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "voice_agent.providers.local.speech_server",
                "--socket",
                str(self.socket_path),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(b"speech server ready"), line

    def kill(self) -> None:
        """Kill it as the kernel would, and wait until it is gone."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(START_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


async def is_away(socket_path: Path, *, deadline_s: float = 10.0) -> None:
    """Wait until nobody answers on ``socket_path``."""
    client = SpeechClient(socket_path)
    async with asyncio.timeout(deadline_s):
        while True:
            try:
                await client.status()
            except LayerUnavailable:
                return
