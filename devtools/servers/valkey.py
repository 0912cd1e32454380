"""Valkey (or Redis): the hot tier. Losing it costs latency and sharing, never a word."""

import secrets
import socket
from collections.abc import Sequence
from typing import ClassVar

from devtools.ports import LOOPBACK
from devtools.programs import find_valkey
from devtools.servers.server import Place, Server


class ValkeyServer(Server):
    """One Valkey with a password, nothing on disk: what it holds can be made again."""

    name = "valkey"
    stop_s: ClassVar[float] = 3.0

    def __init__(self, place: Place, *, port: int, password: str | None = None) -> None:
        super().__init__(place)
        self.port = port
        self._password = password or secrets.token_urlsafe(24)
        self._config_path = self.folder / "valkey.conf"

    @property
    def url(self) -> str:
        """Where clients dial, password included."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    @property
    def env(self) -> dict[str, str]:
        """What every Redis client of ours reads."""
        return {"REDIS_URL": self.url}

    def command(self) -> list[str]:
        """Write the configuration, readable by the owner only, and name it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config_path.touch(mode=0o600)
        self._config_path.write_text(
            f"bind {LOOPBACK}\nport {self.port}\nrequirepass {self._password}\n"
            f'save ""\nappendonly no\ndir "{self.folder}"\n'
            + "".join(f"{line}\n" for line in self.more_config())
        )
        return [str(find_valkey()), str(self._config_path)]

    def more_config(self) -> Sequence[str]:
        """Return further lines of its configuration."""
        return ()

    def is_ready(self) -> bool:
        """Whether it answers PING."""
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def ask(self, *words: str) -> str:
        """Send one command and return the first line of the answer, as it is on the wire."""
        with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as wire:
            wire.sendall(_encode("AUTH", self._password) + _encode(*words))
            lines = wire.makefile("r", encoding="utf-8", newline="\r\n")
            lines.readline()
            return lines.readline().strip()

    def flush(self) -> None:
        """Forget everything."""
        self.ask("FLUSHALL")


def _encode(*words: str) -> bytes:
    parts = [f"*{len(words)}"]
    for word in words:
        parts += [f"${len(word.encode())}", word]
    return ("\r\n".join(parts) + "\r\n").encode()
