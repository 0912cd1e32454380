"""Numbered forward migrations: the SQL files beside this module, each applied once, in order.

A database with a migration this program does not know was written by a newer one and is refused
untouched: an old program must not write into tables it does not understand.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.errors import StartRefused

FOLDER: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: ``0001_log.sql`` is number 1, named ``log``."""

    number: int
    name: str
    sql: str


def known() -> list[Migration]:
    """Read the migrations of this program, ascending."""
    found = []
    for path in sorted(FOLDER.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(number=int(number), name=name, sql=path.read_text("utf-8")))
    return found


def migrate(db: sqlite3.Connection) -> list[Migration]:
    """Bring the database to this program's schema; return the steps that were applied."""
    db.execute("BEGIN IMMEDIATE")  # two programs that start at once take turns
    try:
        applied = _migrate(db)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return applied


def _migrate(db: sqlite3.Connection) -> list[Migration]:
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
    )
    steps = known()
    done = {int(row[0]) for row in db.execute("SELECT number FROM schema_migrations")}
    newest = max(done, default=0)
    if newest > max(step.number for step in steps):
        raise StartRefused(
            f"the database has schema {newest}, this program knows {steps[-1].number}:"
            " it was used by a newer version; start that one, or point to another database"
        )
    applied = [step for step in steps if step.number not in done]
    for step in applied:
        for statement in _statements(step.sql):
            db.execute(statement)
        db.execute(
            "INSERT INTO schema_migrations (number, name) VALUES (?, ?)", (step.number, step.name)
        )
    return applied


def _statements(script: str) -> list[str]:
    """Split a script: ``executescript`` would commit the open transaction."""
    statements, current = [], ""
    for line in script.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    if current.strip():
        statements.append(current)
    return statements
