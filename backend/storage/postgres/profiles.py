"""Profiles."""

from backend.storage import rows
from backend.storage.postgres.engine import Db
from backend.storage.records import Expected, Profile


async def read(db: Db, tenant: str, identity: str, *, lock: bool = False) -> Profile | None:
    """Read a profile; ``lock``: nobody else changes it before the end of the transaction."""
    row = await db.fetchrow(
        f"SELECT {rows.PROFILE} FROM profiles WHERE tenant = $1 AND identity = $2"  # noqa: S608
        + (" FOR UPDATE" if lock else ""),
        tenant,
        identity,
    )
    return rows.profile(row)


async def put(db: Db, tenant: str, profile: Profile, expected: Expected) -> None:
    """Store a profile if it is as expected."""
    # Two that create the same profile have no row to lock yet: they take turns here.
    name = f"profile {tenant} {profile.identity}"
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)
    if rows.is_repeat(await read(db, tenant, profile.identity, lock=True), profile, expected):
        return
    await db.execute(
        "INSERT INTO profiles (tenant, identity, body, etag, updated_ms)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, identity) DO UPDATE SET"
        " body = excluded.body, etag = excluded.etag, updated_ms = excluded.updated_ms",
        tenant,
        profile.identity,
        profile.body,
        profile.etag,
        profile.updated_ms,
    )
