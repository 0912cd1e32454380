"""Tokens, found by the sha256 of their secret: what leaks from the file opens nothing."""

import sqlite3

from backend.storage.records import Token


def add(db: sqlite3.Connection, digest: bytes, token: Token, now_ms: int) -> None:
    """Store a token."""
    db.execute(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
        (digest, token.tenant, token.token_id, token.scope, now_ms, token.expires_ms),
    )


def find(db: sqlite3.Connection, digest: bytes) -> Token | None:
    """Find a token. The lookup compares hashes, so its time says nothing about the secret."""
    row = db.execute(
        "SELECT tenant, token_id, scope, expires_ms FROM tokens WHERE digest = ?", (digest,)
    ).fetchone()
    if row is None:
        return None
    return Token(tenant=row[0], token_id=row[1], scope=row[2], expires_ms=row[3])
