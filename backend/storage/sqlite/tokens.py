"""Tokens, found by the sha256 of their secret: what leaks from the file opens nothing."""

import sqlite3

from backend.storage import rows
from backend.storage.records import Token


def add(db: sqlite3.Connection, digest: bytes, token: Token, now_ms: int) -> None:
    """Store a token."""
    db.execute(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
        (digest, token.tenant, token.token_id, token.scope, now_ms, token.expires_ms),
    )


def find(db: sqlite3.Connection, digest: bytes) -> Token | None:
    """Find a token. The lookup compares hashes, so its time says nothing about the secret."""
    found = db.execute(
        f"SELECT {rows.TOKEN} FROM tokens WHERE digest = ?",  # noqa: S608
        (digest,),
    ).fetchone()
    return rows.token(found)
