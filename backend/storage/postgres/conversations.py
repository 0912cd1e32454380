"""Conversations: resolve, read, list, clear."""

from collections import defaultdict
from collections.abc import Sequence

from backend.clock import new_id
from backend.errors import Conflict, Malformed
from backend.rules import fences
from backend.rules.own_events import clear_digest, context_cleared
from backend.rules.rows import no_conversation
from backend.storage import rows
from backend.storage.postgres.engine import Db
from backend.storage.postgres.heads import insert_own, lock, newest_session, owner, save
from backend.storage.records import Cleared, Conversation, Reader, Token


async def create(db: Db, by: Token, id_: str, key: str, now_ms: int) -> None:
    """Store a new conversation and make it the newest of its key."""
    await db.execute(
        "INSERT INTO conversations (tenant, id, key, opened_by, created_ms, updated_ms)"
        " VALUES ($1, $2, $3, $4, $5, $5)",
        by.tenant,
        id_,
        key,
        by.token_id,
        now_ms,
    )
    await db.execute(
        "INSERT INTO conversation_keys (tenant, key, conversation_id) VALUES ($1, $2, $3)"
        " ON CONFLICT (tenant, key) DO UPDATE SET conversation_id = excluded.conversation_id",
        by.tenant,
        key,
        id_,
    )


async def current(
    db: Db, tenant: str, key: str, max_gap_s: float | None, now_ms: int
) -> Conversation | None:
    """Read the conversation of ``key``, if there is one that may be continued."""
    row = await db.fetchrow(
        "SELECT c.id, c.updated_ms FROM conversation_keys k JOIN conversations c"
        " ON c.tenant = k.tenant AND c.id = k.conversation_id WHERE k.tenant = $1 AND k.key = $2",
        tenant,
        key,
    )
    if row is None or await _is_past(db, tenant, row, max_gap_s, now_ms):
        return None
    return await read(db, Reader(tenant=tenant), row[0], now_ms)


async def resolve(
    db: Db, by: Token, key: str, max_gap_s: float | None, now_ms: int
) -> tuple[Conversation, bool]:
    """Create the conversation of ``key``, unless another replica has just done it.

    The key's row is written first: of two that race, the second waits there for the first.
    """
    id_ = new_id()
    await db.execute(
        "INSERT INTO conversation_keys AS k (tenant, key, conversation_id) VALUES ($1, $2, $3)"
        " ON CONFLICT (tenant, key) DO UPDATE SET conversation_id = k.conversation_id",
        by.tenant,
        key,
        id_,
    )
    found = await current(db, by.tenant, key, max_gap_s, now_ms)
    if found is not None:
        return found, False
    await create(db, by, id_, key, now_ms)
    return await read(db, Reader(tenant=by.tenant), id_, now_ms), True


async def _is_past(
    db: Db, tenant: str, row: rows.Row, max_gap_s: float | None, now_ms: int
) -> bool:
    """Say whether a conversation rested too long to be continued. A live one never did."""
    if max_gap_s is None or now_ms - row[1] <= max_gap_s * 1000:
        return False
    return await owner(db, tenant, row[0], now_ms) is None


async def read(db: Db, reader: Reader, id_: str, now_ms: int) -> Conversation:
    """Read one conversation; raise NotFound."""
    row = await db.fetchrow(
        f"SELECT {rows.CONVERSATION} FROM conversations WHERE tenant = $1 AND id = $2"  # noqa: S608
        " AND ($3::text IS NULL OR opened_by = $3)",
        reader.tenant,
        id_,
        reader.opened_by,
    )
    if row is None:
        raise no_conversation()
    return (await _whole(db, reader.tenant, [row], now_ms))[0]


async def check(db: Db, reader: Reader, id_: str) -> None:
    """Raise NotFound unless ``reader`` may see the conversation."""
    await last_position(db, reader, id_)


async def last_position(db: Db, reader: Reader, id_: str) -> int:
    """Read the position of the newest event; raise NotFound."""
    row = await db.fetchrow(
        "SELECT last_position FROM conversations WHERE tenant = $1 AND id = $2"
        " AND ($3::text IS NULL OR opened_by = $3)",
        reader.tenant,
        id_,
        reader.opened_by,
    )
    if row is None:
        raise no_conversation()
    return int(row[0])


async def check_cursor(db: Db, reader: Reader, id_: str, after: int) -> None:
    """Raise NotFound as ``check`` does, Gone when events after the cursor were pruned."""
    row = await db.fetchrow(
        "SELECT pruned_position FROM conversations WHERE tenant = $1 AND id = $2"
        " AND ($3::text IS NULL OR opened_by = $3)",
        reader.tenant,
        id_,
        reader.opened_by,
    )
    if row is None:
        raise no_conversation()
    rows.not_pruned(after, row[0])


async def newest(
    db: Db, reader: Reader, limit: int, after: str | None, now_ms: int
) -> list[Conversation]:
    """List conversations, newest first."""
    start: rows.Row = rows.NEWEST
    if after is not None:
        found = await db.fetchrow(
            "SELECT created_ms, id FROM conversations WHERE tenant = $1 AND id = $2",
            reader.tenant,
            after,
        )
        if found is None:
            raise Malformed("unknown_cursor", "after: not a cursor of this list")
        start = found
    mine = "" if reader.opened_by is None else " AND opened_by = $5"
    found = await db.fetch(
        f"SELECT {rows.CONVERSATION} FROM conversations WHERE tenant = $1"  # noqa: S608
        f" AND (created_ms, id) < ($2, $3){mine} ORDER BY created_ms DESC, id DESC LIMIT $4",
        reader.tenant,
        *start,
        limit,
        *(() if reader.opened_by is None else (reader.opened_by,)),
    )
    return await _whole(db, reader.tenant, found, now_ms)


async def _whole(db: Db, tenant: str, found: Sequence[rows.Row], now_ms: int) -> list[Conversation]:
    """Add owners and gaps to conversations: two statements, however many there are."""
    ids = [row[0] for row in found]
    held = await db.fetch(
        f"SELECT DISTINCT ON (conversation_id) conversation_id, {rows.OWNER} FROM writers"  # noqa: S608
        " WHERE tenant = $1 AND conversation_id = ANY($2) AND lease_until_ms > $3"
        " AND ended_ms IS NULL ORDER BY conversation_id, fence DESC",
        tenant,
        ids,
        now_ms,
    )
    behind = await db.fetch(
        f"SELECT conversation_id, {rows.GAPS} FROM writers"  # noqa: S608
        " WHERE tenant = $1 AND conversation_id = ANY($2) AND (ahead <> '[]' OR"
        " last_ordinal > acknowledged) ORDER BY fence",
        tenant,
        ids,
    )
    owners = {row[0]: rows.owner(row[1:]) for row in held}
    gaps = defaultdict[str, list[rows.Row]](list)
    for row in behind:
        gaps[row[0]].append(row[1:])
    return [
        rows.conversation(row, owners.get(row[0]), rows.gaps(gaps[row[0]], now_ms)) for row in found
    ]


async def clear(
    db: Db, tenant: str, id_: str, event_id: str, reason: str | None, now_ms: int
) -> Cleared:
    """Begin a new session; the same event_id clears once."""
    row = await lock(db, tenant, id_)
    known = await db.fetchrow(
        "SELECT i.digest, i.position, e.session_number FROM event_ids i"
        " LEFT JOIN events e USING (tenant, conversation_id, position)"
        " WHERE i.tenant = $1 AND i.conversation_id = $2 AND i.event_id = $3",
        tenant,
        id_,
        event_id,
    )
    if known is not None:
        if known[0] != clear_digest(event_id, reason):
            raise Conflict("other_content", "this event_id was used for something else")
        return Cleared(session_number=known[2], event_id=event_id, position=known[1])
    row.session_number = max(row.session_number, await newest_session(db, row)) + 1
    row.floor_fence = fences.after_clear(
        highest=row.highest_fence, floor=row.floor_fence, now_ms=now_ms
    )
    await db.execute(
        "INSERT INTO sessions (tenant, conversation_id, number, after_fence, started_ms)"
        " VALUES ($1, $2, $3, $4, $5)",
        tenant,
        id_,
        row.session_number,
        row.floor_fence,
        now_ms,
    )
    position = await insert_own(db, row, context_cleared(row, event_id, reason, now_ms))
    await save(db, row, now_ms)
    return Cleared(session_number=row.session_number, event_id=event_id, position=position)


async def has_dropped(db: Db, tenant: str, id_: str, session_number: int, now_ms: int) -> bool:
    """Say whether no writer that may be talking is in a session before ``session_number``."""
    row = await db.fetchrow(
        rows.BEHIND.format(tenant="$1", id="$2", number="$3", now="$4", beats="beats"),
        tenant,
        id_,
        session_number,
        now_ms,
    )
    return row is None
