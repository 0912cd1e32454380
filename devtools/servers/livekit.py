"""LiveKit's server: rooms, WebRTC and dispatch. Without it there are no calls."""

import json
import secrets
from dataclasses import dataclass, field
from typing import ClassVar

from devtools.errors import DevError
from devtools.livekit_build import find_livekit
from devtools.ports import LOOPBACK, Ports
from devtools.servers.server import Place, Server, answers


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitConfig:
    """``departure_timeout_s``: how long a room outlives its last participant.

    ``empty_timeout_s``: the same for a room that nobody has joined yet.
    """

    port: int
    udp_port: int
    key: str = "throughline"
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    departure_timeout_s: int = 20  # LiveKit's own default
    empty_timeout_s: int = 300  # LiveKit's own default
    auto_create: bool = True

    @classmethod
    def on_free_ports(cls, ports: Ports, *, departure_timeout_s: int = 20) -> "LiveKitConfig":
        """Return a configuration for a test."""
        return cls(
            port=ports.free(),
            udp_port=ports.free(udp=True),
            departure_timeout_s=departure_timeout_s,
        )

    def as_yaml(self) -> str:
        """Return it as the server reads it (JSON is YAML); only loopback is listened on."""
        return json.dumps(
            {
                "port": self.port,
                "bind_addresses": [LOOPBACK],
                "rtc": {
                    "tcp_port": 0,  # none: it would listen on every address
                    "udp_port": self.udp_port,
                    "use_external_ip": False,
                    "node_ip": LOOPBACK,
                    "enable_loopback_candidate": True,
                    "interfaces": {"includes": ["lo", "lo0"]},
                },
                "keys": {self.key: self.secret},
                "room": {
                    "auto_create": self.auto_create,
                    "departure_timeout": self.departure_timeout_s,
                    "empty_timeout": self.empty_timeout_s,
                },
                "logging": {"level": "info", "json": True},
            },
            indent=2,
        )


class LiveKitServer(Server):
    """One LiveKit server."""

    name = "livekit"
    stop_s: ClassVar[float] = 5.0

    def __init__(self, place: Place, *, config: LiveKitConfig) -> None:
        super().__init__(place)
        self.config = config
        self._config_path = self.folder / "livekit.yaml"

    @property
    def url(self) -> str:
        """Where clients and workers dial."""
        return f"ws://{LOOPBACK}:{self.config.port}"

    @property
    def env(self) -> dict[str, str]:
        """What every LiveKit client reads."""
        return {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self.config.key,
            "LIVEKIT_API_SECRET": self.config.secret,
        }

    def command(self) -> list[str]:
        """Write the configuration, readable by the owner only, and name it."""
        program = find_livekit()
        if program is None:
            raise DevError("no LiveKit server: run dev.py setup")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config_path.touch(mode=0o600)
        self._config_path.write_text(self.config.as_yaml())
        return [str(program), "--config", str(self._config_path)]

    def is_ready(self) -> bool:
        """Whether it answers HTTP."""
        return answers(self.config.port, "/") == 200

    def stop(self) -> None:
        """End it. A first SIGTERM waits for rooms to empty, a second one does not."""
        self.ask_to_stop()
        self.ask_to_stop()
        super().stop()
