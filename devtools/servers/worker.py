"""The agent's worker, and with it the relay, the speech process and the jobs."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from devtools.paths import ROOT, VENV, python_of
from devtools.ports import LOOPBACK
from devtools.servers.server import Place, Server, answers

REGISTERED = "registered worker"
"""LiveKit's line once the server has accepted the worker; before it a dispatch would be lost."""

OUTBOX = "VOICE_OUTBOX__FOLDER"


class Worker(Server):
    """One worker, with what it starts itself."""

    name = "worker"
    ready_s: ClassVar[float] = 60.0
    # The call's end (10 s), then the relay's drain (10 s) and its margin.
    stop_s: ClassVar[float] = 30.0
    # A relay whose worker was killed delivers what is left, then ends by itself.
    left_overs_s: ClassVar[float] = 12.0
    drain_s: ClassVar[int] = 2

    def __init__(
        self, place: Place, *, ports: tuple[int, int, int], uses: Sequence[Server] = ()
    ) -> None:
        """``ports``: health, metrics, the relay's metrics."""
        super().__init__(place, uses=uses)
        self.health_port, self.metrics_port, self.relay_metrics_port = ports

    @property
    def outbox(self) -> Path:
        """The outbox folder of this worker's jobs and relay."""
        chosen = self._given.get(OUTBOX)
        return ROOT / chosen if chosen else self.folder / "outbox"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads the worker."""
        return f"http://{LOOPBACK}:{self.metrics_port}/metrics"

    @property
    def relay_metrics_url(self) -> str:
        """Where Prometheus reads the relay."""
        return f"http://{LOOPBACK}:{self.relay_metrics_port}/metrics"

    @property
    def env(self) -> dict[str, str]:
        """Where its figures are, and what was not delivered yet."""
        return {
            "METRICS_URL": self.metrics_url,
            "RELAY_METRICS_URL": self.relay_metrics_url,
            OUTBOX: str(self.outbox),
        }

    def settings(self) -> dict[str, str]:
        """Return its own settings; a person's own VOICE_ names come first, except for ports."""
        ours = {
            OUTBOX: str(self.outbox),
            # Ctrl-C does not wait for callers to hang up: the next start goes on with them.
            "VOICE_WORKER__DRAIN_S": str(self.drain_s),
        }
        chosen = {name: self._given.get(name, value) for name, value in ours.items()}
        return chosen | {
            "VOICE_WORKER__HEALTH_PORT": str(self.health_port),
            "VOICE_WORKER__METRICS_PORT": str(self.metrics_port),
            "VOICE_RELAY__METRICS_PORT": str(self.relay_metrics_port),
        }

    def command(self) -> list[str]:
        """Return the command line."""
        return [str(python_of(VENV)), "agent.py", "start"]

    def is_ready(self) -> bool:
        """Whether LiveKit has accepted it, so that a call can be dispatched to it."""
        return REGISTERED in self.log() and answers(self.health_port, "/") == 200
