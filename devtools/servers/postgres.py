"""PostgreSQL from its wheel: the log of every conversation, where SQLite is not enough."""

import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import ClassVar

from devtools.errors import DevError
from devtools.ports import LOOPBACK
from devtools.programs import find_postgres
from devtools.secret_store import write_private
from devtools.servers.server import Place, Server, clean_environment

USER = "throughline"
DATABASE = "throughline"
NOBODY = "nobody"
_PROTOCOL = 3 << 16
_ASKS_FOR_PASSWORD = b"R"


class PostgresServer(Server):
    """One PostgreSQL with a password; its database is empty at first.

    Args:
        durable: False in tests, which kill programs and never the machine: no fsync.
    """

    name = "postgres"
    stop_s: ClassVar[float] = 10.0

    def __init__(self, place: Place, *, port: int, durable: bool = True) -> None:
        super().__init__(place)
        self.port = port
        self.data = self.folder / "data" / "postgres"
        self._durable = durable
        self._password_path = self.folder / "postgres.password"

    @property
    def url(self) -> str:
        """The address of its database, password included."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the address of one of its databases."""
        password = self._password_path.read_text().strip()
        return f"postgresql://{USER}:{password}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database, unless it is there already; return its address."""
        if not self.ask(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.ask(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def ask(self, sql: str, *, database: str = DATABASE) -> str:
        """Run one statement; return its rows as lines of columns with a bar between."""
        psql = [str(find_postgres("psql")), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        return output_of([*psql, "-c", sql, self.url_of(database)])

    @property
    def env(self) -> dict[str, str]:
        """What the backend reads."""
        return {"VOICE_BACKEND__DATABASE_URL": self.url}

    def spawn(self) -> None:
        """Start it; make its files before, the first time."""
        if not (self.data / "PG_VERSION").exists():
            self._make_files()
        super().spawn()

    def command(self) -> list[str]:
        """Return the command line."""
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",  # a path of a test's folder may be too long for one
            "fsync": "on" if self._durable else "off",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*_unprivileged(), str(find_postgres("postgres")), "-D", str(self.data), *words]

    def is_ready(self) -> bool:
        """Whether it takes connections: while it starts or recovers it answers with an error."""
        words = b"".join(w.encode() + b"\0" for w in ("user", USER, "database", DATABASE)) + b"\0"
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as wire:
                wire.sendall(struct.pack("!II", len(words) + 8, _PROTOCOL) + words)
                return wire.recv(1) == _ASKS_FOR_PASSWORD
        except OSError:
            return False

    def ask_to_stop(self) -> None:
        """Send SIGINT: end the connections, keep everything, stop."""
        if self.is_running:
            os.kill(self.pid, signal.SIGINT)

    def _make_files(self) -> None:
        """Make the data folder, whole or not at all."""
        write_private(self._password_path, secrets.token_urlsafe(24))
        new = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(new, NOBODY)
        named = ["-U", USER, f"--pwfile={self._password_path}", "--auth=scram-sha-256"]
        files = ["-D", str(new), "--encoding=utf8", "--locale=C", "--no-sync"]
        output_of([*_unprivileged(), str(find_postgres("initdb")), *named, *files])
        single = [str(find_postgres("postgres")), "--single", "-D", str(new), "postgres"]
        output_of([*_unprivileged(), *single], said=f"CREATE DATABASE {DATABASE}\n")
        new.rename(self.data)


def output_of(command: list[str], *, said: str = "") -> str:
    """Return what a program of PostgreSQL prints.

    Raises:
        DevError: it failed; its words are the details.
    """
    done = subprocess.run(
        command,
        input=said,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise DevError(f"{Path(command[0]).name} failed", details=done.stderr.strip())
    return done.stdout.strip()


def _unprivileged() -> list[str]:
    """Return the words before a command of PostgreSQL's, which refuses to run as root.

    It becomes ``nobody`` then, and may still enter folders that only root can: no rights of any
    folder are changed.

    Raises:
        DevError: this machine has no setpriv.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise DevError(
            "PostgreSQL refuses to run as root: install setpriv (util-linux), or run as a user"
        )
    caps = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [setpriv, f"--reuid={NOBODY}", "--clear-groups", *caps]
