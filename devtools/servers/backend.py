"""The reference backend, on SQLite or PostgreSQL: the truth about every conversation."""

import subprocess
import threading
from collections.abc import Sequence
from typing import ClassVar

from devtools.errors import DevError
from devtools.paths import ROOT, VENV, python_of
from devtools.ports import LOOPBACK
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Place, Server, answers

TENANT = "local"


class Backend(Server):
    """One backend process; it makes calls if it uses a LiveKit server. On SQLite by default."""

    name = "backend"
    ready_s: ClassVar[float] = 30.0
    stop_s: ClassVar[float] = 10.0

    def __init__(
        self,
        place: Place,
        *,
        port: int,
        metrics_port: int,
        uses: Sequence[Server] = (),
        postgres: PostgresServer | None = None,
    ) -> None:
        super().__init__(place, uses=uses)
        self._postgres = postgres
        self.port = port
        self.metrics_port = metrics_port
        self.database = self.folder / "data" / "backend.db"
        self._token: str | None = None
        self._making_token = threading.Lock()

    @property
    def url(self) -> str:
        """Where clients dial, without /v1."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus reads."""
        return f"http://{LOOPBACK}:{self.metrics_port}/metrics"

    @property
    def token(self) -> str:
        """The admin token of tenant ``local``; made when first asked for."""
        with self._making_token:
            if self._token is None:
                self._token = self.create_token("admin")
            return self._token

    def use_token(self, token: str) -> None:
        """Go on with an admin token that this database knows already."""
        self._token = token

    @property
    def env(self) -> dict[str, str]:
        """What the agent reads."""
        return {"BACKEND_URL": self.url, "BACKEND_TOKEN": self.token}

    def settings(self) -> dict[str, str]:
        """Return its own settings. A person's own VOICE_BACKEND__ names come first."""
        self.database.parent.mkdir(parents=True, exist_ok=True)
        held = self._postgres.url if self._postgres else f"sqlite:///{self.database}"
        ours = {
            "VOICE_BACKEND__DATABASE_URL": held,
            "VOICE_BACKEND__WEB_FOLDER": str(ROOT / "web" / "dist"),
        }
        chosen = {name: self._given.get(name, value) for name, value in ours.items()}
        return chosen | {
            "VOICE_BACKEND__HOST": LOOPBACK,
            "VOICE_BACKEND__PORT": str(self.port),
            "VOICE_BACKEND__METRICS_PORT": str(self.metrics_port),
        }

    def command(self) -> list[str]:
        """Return the command line."""
        return [str(python_of(VENV)), "-m", "backend", "serve"]

    def is_ready(self) -> bool:
        """Whether it can answer requests, its database included."""
        return answers(self.port, "/readyz") == 200

    def create_token(self, scope: str, *, tenant: str = TENANT, ttl_s: int | None = None) -> str:
        """Return a new token. The backend need not run.

        Raises:
            DevError: the backend refuses; its words are the details.
        """
        command = [str(python_of(VENV)), "-m", "backend", "token", "create"]
        command += ["--tenant", tenant, "--scope", scope]
        command += ["--ttl-s", str(ttl_s)] if ttl_s is not None else []
        done = subprocess.run(
            command,
            env=self.environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        token = done.stdout.strip()
        if done.returncode or not token:
            raise DevError(f"no {scope} token from the backend", details=done.stderr.strip())
        return token
