"""The stand-in for Gemini Live, with ears and a voice: a realtime call without a key."""

from pathlib import Path
from typing import ClassVar

from devtools.paths import VENV, python_of
from devtools.ports import LOOPBACK
from devtools.servers.server import Place, Server

READY = "the stand-in listens"
"""Its line once voice and recogniser are loaded; before it a call would hear nothing."""


class GeminiStandIn(Server):
    """``python -m simulators.gemini``, with a speech process of its own."""

    name = "gemini"
    ready_s: ClassVar[float] = 60.0

    def __init__(self, place: Place, *, port: int) -> None:
        super().__init__(place)
        self.port = port
        self.data = self.folder / "data" / "gemini"

    @property
    def env(self) -> dict[str, str]:
        """Nothing: what a person sources must not take a key of their own away."""
        return {}

    @property
    def worker_environ(self) -> dict[str, str]:
        """What a worker is started with to use it, whatever key it was given."""
        return {
            "VOICE_PROVIDER": "gemini",
            "GOOGLE_API_KEY": "none",
            "VOICE_GEMINI__BASE_URL": f"https://{LOOPBACK}:{self.port}",
            "VOICE_GEMINI__CA_FILE": str(self.certificate),
        }

    @property
    def certificate(self) -> Path:
        """What a client trusts it by; the same after a restart."""
        return self.data / "certificate.pem"

    def command(self) -> list[str]:
        """Return the command line."""
        words = ["--folder", str(self.data), "--port", str(self.port)]
        return [str(python_of(VENV)), "-m", "simulators.gemini", *words]

    def is_ready(self) -> bool:
        """Whether it can be called."""
        return READY in self.log()
