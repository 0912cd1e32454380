"""Migrations on PostgreSQL: all steps in one transaction, which one replica at a time may hold."""

import asyncio
from pathlib import Path
from typing import Final

from backend.storage.migrations import Migration, known, missing
from backend.storage.postgres.engine import Db

FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x7468726F7567686C
"""The advisory lock of this program's migrations ("throughl")."""


async def migrate(db: Db, up_to: int | None = None) -> list[Migration]:
    """Bring the database to this program's schema; return the steps that were applied.

    ``up_to``: to the schema after so many steps.
    """
    steps = await asyncio.to_thread(known, FOLDER)
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await db.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number bigint PRIMARY KEY,"
            " name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {row[0] for row in await db.fetch("SELECT number FROM schema_migrations")}
        applied = missing(steps[:up_to], done)
        for step in applied:
            await db.execute(step.sql)
            await db.execute(
                "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)",
                step.number,
                step.name,
            )
    return applied
