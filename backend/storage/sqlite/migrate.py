"""Migrations on SQLite: all steps in one transaction."""

import sqlite3
from pathlib import Path
from typing import Final

from backend.storage.migrations import Migration, known, missing

FOLDER: Final = Path(__file__).parent / "migrations"


def migrate(db: sqlite3.Connection, up_to: int | None = None) -> list[Migration]:
    """Bring the database to this program's schema; return the steps that were applied.

    ``up_to``: to the schema after so many steps.
    """
    db.execute("BEGIN IMMEDIATE")  # two programs that start at once take turns
    try:
        applied = _migrate(db, up_to)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return applied


def _migrate(db: sqlite3.Connection, up_to: int | None) -> list[Migration]:
    db.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT"
    )
    done = {int(row[0]) for row in db.execute("SELECT number FROM schema_migrations")}
    applied = missing(known(FOLDER)[:up_to], done)
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
