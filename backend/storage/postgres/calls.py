"""Rooms that need an agent. A claim is a row lock with an end: it outlives no crash for long."""

from typing import Final

from backend.errors import NotFound
from backend.storage import rows
from backend.storage.postgres import conversations
from backend.storage.postgres.engine import Db
from backend.storage.records import AgentLife, Call, Reader, Token

_OURS: Final = "c." + rows.CALL.replace(", ", ", c.")


async def open_call(db: Db, by: Token, call: Call, *, new_conversation: bool) -> None:
    """Store a new room, and its conversation when that is new."""
    if new_conversation:
        await conversations.create(
            db, by, call.conversation_id, call.conversation_id, call.created_ms
        )
    await db.execute(
        f"INSERT INTO calls ({rows.CALL})"  # noqa: S608
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        *rows.values(call),
    )


async def read(db: Db, reader: Reader, room: str) -> Call:
    """Read a call; raise NotFound."""
    row = await db.fetchrow(
        f"SELECT {rows.CALL} FROM calls WHERE tenant = $1 AND room = $2",  # noqa: S608
        reader.tenant,
        room,
    )
    if row is None:
        raise NotFound("unknown_room", "no such call")
    call = rows.call(row)
    await conversations.check(db, reader, call.conversation_id)
    return call


async def of_conversation(db: Db, reader: Reader, conversation_id: str) -> list[Call]:
    """List the open calls of a conversation, newest first."""
    await conversations.check(db, reader, conversation_id)
    found = await db.fetch(
        f"SELECT {rows.CALL} FROM calls WHERE tenant = $1 AND conversation_id = $2"  # noqa: S608
        " AND state <> 'closed' ORDER BY created_ms DESC",
        reader.tenant,
        conversation_id,
    )
    return [rows.call(row) for row in found]


async def wake(db: Db, tenant: str, room: str, now_ms: int) -> Call:
    """Make a call due now, a closed one too: somebody wants an agent in that room."""
    await db.execute(
        "UPDATE calls SET due_ms = $3, state = CASE state WHEN 'joined' THEN 'joined'"
        " ELSE 'dispatching' END, people_seen_ms = $3 WHERE tenant = $1 AND room = $2",
        tenant,
        room,
        now_ms,
    )
    return await read(db, Reader(tenant=tenant), room)


async def claim(db: Db, claimant: str, now_ms: int, until_ms: int, limit: int) -> list[Call]:
    """Take due calls that nobody holds; what another replica is just taking is passed over."""
    claimed = await db.fetch(
        "WITH due AS MATERIALIZED (SELECT tenant, room FROM calls"  # noqa: S608
        " WHERE state <> 'closed' AND due_ms <= $2 AND claimed_until_ms <= $2"
        " ORDER BY due_ms LIMIT $4 FOR UPDATE SKIP LOCKED)"
        " UPDATE calls c SET claimed_by = $1, claimed_until_ms = $3 FROM due"
        f" WHERE c.tenant = due.tenant AND c.room = due.room RETURNING {_OURS}",
        claimant,
        now_ms,
        until_ms,
        limit,
    )
    return sorted((rows.call(row) for row in claimed), key=lambda call: call.due_ms)


async def save(db: Db, claimant: str, call: Call, claimed_due_ms: int) -> None:
    """Store what became of a claimed call. A wake-up that came meanwhile stays in force."""
    await db.execute(
        "UPDATE calls SET state = $4, attempts = $5, detail = $6, dispatch_id = $7,"
        " dispatched_ms = $8, people_seen_ms = greatest(people_seen_ms, $9), claimed_by = NULL,"
        " claimed_until_ms = 0, due_ms = CASE WHEN due_ms = $10 THEN $11 ELSE due_ms END"
        " WHERE tenant = $1 AND room = $2 AND claimed_by = $3",
        call.tenant,
        call.room,
        claimant,
        call.state,
        call.attempts,
        call.detail,
        call.dispatch_id,
        call.dispatched_ms,
        call.people_seen_ms,
        claimed_due_ms,
        call.due_ms,
    )


async def wake_lost(db: Db, now_ms: int, lost_before_ms: int) -> int:
    """Make calls due whose agent ended, or stopped its heartbeat before ``lost_before_ms``."""
    status: str = await db.execute(
        "UPDATE calls SET due_ms = $1 WHERE state = 'joined' AND due_ms > $1 AND EXISTS ("
        " SELECT 1 FROM writers w WHERE w.tenant = calls.tenant"
        " AND w.conversation_id = calls.conversation_id AND w.room = calls.room"
        " AND w.registered_ms >= calls.dispatched_ms"
        " AND (w.ended_ms IS NOT NULL OR (w.beats AND w.lease_until_ms < $2)))"
        " AND NOT EXISTS ("
        " SELECT 1 FROM writers w WHERE w.tenant = calls.tenant"
        " AND w.conversation_id = calls.conversation_id AND w.room = calls.room"
        " AND w.ended_ms IS NULL AND w.beats AND w.lease_until_ms >= $2)",
        now_ms,
        lost_before_ms,
    )
    return int(status.removeprefix("UPDATE "))


async def agent_life(
    db: Db, tenant: str, conversation_id: str, room: str, now_ms: int
) -> AgentLife | None:
    """Read the writer of a room that lives, else the newest one.

    A second agent that came into the room and left (``already_served``) is the newest writer, and
    no reason to take the first one for lost.
    """
    found = await db.fetchrow(
        f"SELECT {rows.LIFE} FROM writers"  # noqa: S608
        " WHERE tenant = $1 AND conversation_id = $2 AND room = $3 AND kind = 'call'"
        " ORDER BY (ended_ms IS NULL AND beats AND lease_until_ms >= $4) DESC,"
        " registered_ms DESC, fence DESC LIMIT 1",
        tenant,
        conversation_id,
        room,
        now_ms,
    )
    return rows.life(found)
