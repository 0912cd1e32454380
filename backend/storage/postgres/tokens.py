"""Tokens, found by the sha256 of their secret: what leaks from the database opens nothing."""

from backend.storage import rows
from backend.storage.postgres.engine import Db
from backend.storage.records import Token


async def add(db: Db, digest: bytes, token: Token, now_ms: int) -> None:
    """Store a token."""
    await db.execute(
        "INSERT INTO tokens (digest, tenant, token_id, scope, created_ms, expires_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        digest,
        token.tenant,
        token.token_id,
        token.scope,
        now_ms,
        token.expires_ms,
    )


async def find(db: Db, digest: bytes) -> Token | None:
    """Find a token. The lookup compares hashes, so its time says nothing about the secret."""
    return rows.token(
        await db.fetchrow(f"SELECT {rows.TOKEN} FROM tokens WHERE digest = $1", digest)  # noqa: S608
    )
