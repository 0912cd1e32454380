"""The databases the backend can use, each real; a test is given every one of them in turn."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from devtools.servers.postgres import PostgresServer

ADDRESS = "VOICE_BACKEND__DATABASE_URL"
FILE = "backend.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One kind of database.

    Args:
        address: makes an empty database for a folder; asked again, the same one.
        dump: reads all of a table as text.
        change: runs a statement, as somebody does who repairs or restores a database.
    """

    kind: str
    address: Callable[[Path], str]
    dump: Callable[[Path, str], str]
    change: Callable[[Path, str], object]

    def settings(self, folder: Path) -> dict[str, str]:
        """Return what a backend is told to use the database of ``folder``."""
        return {ADDRESS: self.address(folder)}


def in_files() -> Database:
    """SQLite: a file in the folder."""
    return Database(
        kind="sqlite",
        address=lambda folder: f"sqlite:///{folder / FILE}",
        dump=lambda folder, table: repr(_rows(folder / FILE, table)),
        change=lambda folder, statement: _change(folder / FILE, statement),
    )


def on_server(server: PostgresServer) -> Database:
    """PostgreSQL: a database of a server, named after the folder."""
    return Database(
        kind="postgres",
        address=lambda folder: server.create_database(_name(folder)),
        dump=lambda folder, table: server.ask(f"SELECT * FROM {table}", database=_name(folder)),
        change=lambda folder, statement: server.ask(statement, database=_name(folder)),
    )


def _rows(file: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


def _change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, timeout=10)) as db, db:
        db.execute(statement)


def _name(folder: Path) -> str:
    return "t" + sha256(str(folder).encode()).hexdigest()[:20]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Every kind of database in turn."""
    if request.param == "sqlite":
        return in_files()
    return on_server(request.getfixturevalue("postgres"))
