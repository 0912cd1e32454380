"""LiveKit, and a plain worker beside it whose agents join and stay, without a lease."""

import sys
from pathlib import Path
from typing import ClassVar

from devtools.ports import Ports
from devtools.servers.livekit import LiveKitConfig, LiveKitServer
from devtools.servers.server import Server
from tests.support.servers import place_in


def livekit_in(folder: Path, ports: Ports) -> LiveKitServer:
    """Make a LiveKit server of the test's own; not started yet."""
    return LiveKitServer(place_in(folder), config=LiveKitConfig.on_free_ports(ports))


class PlainWorker(Server):
    """A worker as anyone could write it, in a process of its own. Ready once it is registered."""

    name = "plain-worker"
    ready_s: ClassVar[float] = 30.0

    def __init__(self, folder: Path, livekit: LiveKitServer) -> None:
        super().__init__(place_in(folder), uses=[livekit])
        self._livekit = livekit
        self._before = self._registered_count()

    @property
    def env(self) -> dict[str, str]:
        """Nothing uses it."""
        return {}

    def command(self) -> list[str]:
        """Run the script beside this module."""
        return [sys.executable, str(Path(__file__).parent / "plain_worker.py")]

    def is_ready(self) -> bool:
        """Whether LiveKit has heard of another worker since this one was made."""
        return self._registered_count() > self._before

    def _registered_count(self) -> int:
        log = self._livekit.log_path
        return log.read_text("utf-8").count("worker registered") if log.exists() else 0
