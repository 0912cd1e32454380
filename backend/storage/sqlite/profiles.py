"""Profiles."""

import sqlite3

from backend.storage import rows
from backend.storage.records import Expected, Profile


def read(db: sqlite3.Connection, tenant: str, identity: str) -> Profile | None:
    """Read a profile."""
    row = db.execute(
        f"SELECT {rows.PROFILE} FROM profiles WHERE tenant = ? AND identity = ?",  # noqa: S608
        (tenant, identity),
    ).fetchone()
    return rows.profile(row)


def put(db: sqlite3.Connection, tenant: str, profile: Profile, expected: Expected) -> None:
    """Store a profile if it is as expected."""
    if rows.is_repeat(read(db, tenant, profile.identity), profile, expected):
        return
    db.execute(
        "INSERT INTO profiles VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " body = excluded.body, etag = excluded.etag, updated_ms = excluded.updated_ms",
        (tenant, profile.identity, profile.body, profile.etag, profile.updated_ms),
    )
