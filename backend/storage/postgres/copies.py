"""Conversations as a whole: their order, their copies."""

from collections.abc import Sequence

from backend.errors import Conflict
from backend.storage import rows
from backend.storage.postgres import conversations, ingest, writers
from backend.storage.postgres.engine import Db
from backend.storage.records import (
    FORK_FENCE,
    FORK_WRITER,
    Batch,
    Conversation,
    Fork,
    NewWriter,
    Reader,
    Token,
    WriterEnd,
)


async def order(db: Db, reader: Reader, id_: str) -> list[int]:
    """List the positions of all events in conversation order."""
    await conversations.check(db, reader, id_)
    found = await db.fetch(rows.ORDER.format(tenant="$1", id="$2"), reader.tenant, id_)
    return [position for (position,) in found]


async def events_at(db: Db, reader: Reader, id_: str, positions: Sequence[int]) -> list[bytes]:
    """Read the events at ``positions``, in that order."""
    await conversations.check(db, reader, id_)
    found = await db.fetch(
        f"SELECT {rows.EVENT} FROM events e WHERE e.tenant = $1"  # noqa: S608 - a constant
        " AND e.conversation_id = $2 AND e.position = ANY($3)",
        reader.tenant,
        id_,
        list(positions),
    )
    return rows.in_order(id_, found, positions)


async def fork(db: Db, by: Token, wanted: Fork, now_ms: int) -> tuple[Conversation, bool]:
    """Store a copy: a conversation whose first writer has ended."""
    reader = Reader(tenant=by.tenant)
    made = await db.execute(
        "INSERT INTO forks (tenant, conversation_id, source_id, up_to_event_id)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        by.tenant,
        wanted.conversation_id,
        wanted.source_id,
        wanted.up_to_event_id,
    )  # two that race: the second waits here for the first
    row = await db.fetchrow(
        "SELECT c.id, f.source_id, f.up_to_event_id FROM conversations c LEFT JOIN forks f"
        " ON f.tenant = c.tenant AND f.conversation_id = c.id WHERE c.tenant = $1 AND c.id = $2",
        by.tenant,
        wanted.conversation_id,
    )
    if row is not None:
        same = tuple(row[1:]) == (wanted.source_id, wanted.up_to_event_id)
        if not same or made == "INSERT 0 1":
            raise Conflict("conversation_exists", "conversation_id: there is another one with it")
        return await conversations.read(db, reader, row[0], now_ms), False
    await conversations.create(db, by, wanted.conversation_id, wanted.conversation_id, now_ms)
    if wanted.events:
        await _fill(db, by.tenant, wanted, now_ms)
    return await conversations.read(db, reader, wanted.conversation_id, now_ms), True


async def _fill(db: Db, tenant: str, wanted: Fork, now_ms: int) -> None:
    id_ = wanted.conversation_id
    writer = NewWriter(
        writer_id=FORK_WRITER,
        kind="text",
        room=None,
        job_id=None,
        started_ms=now_ms,
        claimed_fence=FORK_FENCE,
    )
    await writers.register(db, tenant, id_, writer, lease_ms=0, now_ms=now_ms)
    batch = Batch(conversation_id=id_, writer_id=FORK_WRITER, events=wanted.events)
    await ingest.store_locked(db, tenant, batch, now_ms)
    end = WriterEnd(reason="fork", at_ms=now_ms, last_ordinal=len(wanted.events))
    await writers.end(db, tenant, id_, FORK_WRITER, end, now_ms=now_ms)
