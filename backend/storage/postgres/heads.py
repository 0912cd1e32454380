"""The row of a conversation: whoever changes anything of the conversation holds it first."""

from backend.clock import new_id
from backend.rules.own_events import OwnEvent
from backend.rules.rows import Head, WriterRow, no_conversation, no_writer
from backend.storage import rows
from backend.storage.postgres.engine import Db
from backend.storage.records import Owner


async def lock(db: Db, tenant: str, id_: str) -> Head:
    """Lock and read a conversation's row, to the end of the transaction; raise NotFound.

    A statement after this one sees everything that was committed by those who held it before.
    """
    row = await db.fetchrow(
        f"SELECT {rows.HEAD} FROM conversations"  # noqa: S608
        " WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE",
        tenant,
        id_,
    )
    if row is None:
        raise no_conversation()
    return rows.head(tenant, id_, row)


async def save(db: Db, row: Head, now_ms: int) -> None:
    """Write a conversation's row back."""
    await db.execute(
        "UPDATE conversations SET session_number = $3, version = $4, last_position = $5,"
        " highest_fence = $6, floor_fence = $7, updated_ms = greatest(updated_ms, $8),"
        " revision = revision + 1"
        " WHERE tenant = $1 AND id = $2",
        row.tenant,
        row.id,
        row.session_number,
        row.version,
        row.last_position,
        row.highest_fence,
        row.floor_fence,
        now_ms,
    )


async def newest_session(db: Db, row: Head) -> int:
    """Read the highest session number of the log itself."""
    found = rows.NEWEST_SESSION.format(tenant="$1", id="$2", greatest="greatest")
    return int(await db.fetchval(found, row.tenant, row.id))


async def find_writer(db: Db, row: Head, writer_id: str) -> WriterRow | None:
    """Read a writer's row."""
    found = await db.fetchrow(
        f"SELECT {rows.WRITER} FROM writers"  # noqa: S608
        " WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3",
        row.tenant,
        row.id,
        writer_id,
    )
    return None if found is None else rows.writer(writer_id, found)


async def known_writer(db: Db, row: Head, writer_id: str) -> WriterRow:
    """Read a writer's row; raise NotFound."""
    writer = await find_writer(db, row, writer_id)
    if writer is None:
        raise no_writer()
    return writer


async def owner(db: Db, tenant: str, id_: str, now_ms: int) -> Owner | None:
    """Find the writer whose lease is alive."""
    found = await db.fetchrow(
        f"SELECT {rows.OWNER} FROM writers WHERE tenant = $1"  # noqa: S608
        " AND conversation_id = $2 AND lease_until_ms > $3 AND ended_ms IS NULL"
        " ORDER BY fence DESC LIMIT 1",
        tenant,
        id_,
        now_ms,
    )
    return rows.owner(found)


async def insert_own(db: Db, row: Head, own: OwnEvent) -> int:
    """Store an event of the backend's own; return its position."""
    event_id = own.event_id or new_id()
    digest, body = own.encoded(event_id)
    position = row.next_position()
    await db.execute(
        "WITH ids AS (INSERT INTO event_ids (tenant, conversation_id, event_id, digest, position)"
        " VALUES ($1, $2, $3, $4, $5))"
        " INSERT INTO events (tenant, conversation_id, position, session_number, writer_id, fence,"
        " ordinal, kind, at_ms, body) VALUES ($1, $2, $5, $6, $7, $8, $9, $10, $11, $12)",
        row.tenant,
        row.id,
        event_id,
        digest,
        position,
        own.session_number,
        own.writer_id,
        own.fence,
        own.ordinal,
        own.kind,
        own.at_ms,
        body,
    )
    return position
