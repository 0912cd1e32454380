"""Rooms that need an agent. A claim is a row lock with an end: it outlives no crash for long."""

import sqlite3

from backend.errors import NotFound
from backend.storage import rows
from backend.storage.records import AgentLife, Call, Reader, Token
from backend.storage.sqlite import conversations


def open_call(db: sqlite3.Connection, by: Token, call: Call, *, new_conversation: bool) -> None:
    """Store a new room, and its conversation when that is new."""
    if new_conversation:
        conversations.create(db, by, call.conversation_id, call.conversation_id, call.created_ms)
    db.execute(
        f"INSERT INTO calls ({rows.CALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        rows.values(call),
    )


def read(db: sqlite3.Connection, reader: Reader, room: str) -> Call:
    """Read a call; raise NotFound."""
    row = db.execute(
        f"SELECT {rows.CALL} FROM calls WHERE tenant = ? AND room = ?",  # noqa: S608 - a constant
        (reader.tenant, room),
    ).fetchone()
    if row is None:
        raise NotFound("unknown_room", "no such call")
    call = rows.call(row)
    conversations.check(db, reader, call.conversation_id)
    return call


def of_conversation(db: sqlite3.Connection, reader: Reader, conversation_id: str) -> list[Call]:
    """List the open calls of a conversation, newest first."""
    conversations.check(db, reader, conversation_id)
    found = db.execute(
        f"SELECT {rows.CALL} FROM calls WHERE tenant = ? AND conversation_id = ?"  # noqa: S608
        " AND state <> 'closed' ORDER BY created_ms DESC",
        (reader.tenant, conversation_id),
    )
    return [rows.call(row) for row in found]


def wake(db: sqlite3.Connection, tenant: str, room: str, now_ms: int) -> Call:
    """Make a call due now, a closed one too: somebody wants an agent in that room."""
    db.execute(
        "UPDATE calls SET due_ms = ?, state = CASE state WHEN 'joined' THEN 'joined'"
        " ELSE 'dispatching' END, people_seen_ms = ? WHERE tenant = ? AND room = ?",
        (now_ms, now_ms, tenant, room),
    )
    return read(db, Reader(tenant=tenant), room)


def claim(
    db: sqlite3.Connection, claimant: str, now_ms: int, until_ms: int, limit: int
) -> list[Call]:
    """Take due calls that nobody holds."""
    due = db.execute(
        "SELECT tenant, room FROM calls WHERE state <> 'closed' AND due_ms <= ?"
        " AND claimed_until_ms <= ? ORDER BY due_ms LIMIT ?",
        (now_ms, now_ms, limit),
    ).fetchall()
    claimed = []
    for tenant, room in due:
        db.execute(
            "UPDATE calls SET claimed_by = ?, claimed_until_ms = ? WHERE tenant = ? AND room = ?",
            (claimant, until_ms, tenant, room),
        )
        row = db.execute(
            f"SELECT {rows.CALL} FROM calls WHERE tenant = ? AND room = ?",  # noqa: S608
            (tenant, room),
        ).fetchone()
        claimed.append(rows.call(row))
    return claimed


def save(db: sqlite3.Connection, claimant: str, call: Call, claimed_due_ms: int) -> None:
    """Store what became of a claimed call. A wake-up that came meanwhile stays in force."""
    db.execute(
        "UPDATE calls SET state = ?, attempts = ?, detail = ?, dispatch_id = ?, dispatched_ms = ?,"
        " people_seen_ms = max(people_seen_ms, ?), claimed_by = NULL, claimed_until_ms = 0,"
        " due_ms = CASE WHEN due_ms = ? THEN ? ELSE due_ms END"
        " WHERE tenant = ? AND room = ? AND claimed_by = ?",
        (
            call.state,
            call.attempts,
            call.detail,
            call.dispatch_id,
            call.dispatched_ms,
            call.people_seen_ms,
            claimed_due_ms,
            call.due_ms,
            call.tenant,
            call.room,
            claimant,
        ),
    )


def wake_lost(db: sqlite3.Connection, now_ms: int, lost_before_ms: int) -> int:
    """Make calls due whose agent ended, or stopped its heartbeat before ``lost_before_ms``."""
    cursor = db.execute(
        "UPDATE calls SET due_ms = ?1 WHERE state = 'joined' AND due_ms > ?1 AND EXISTS ("
        " SELECT 1 FROM writers w WHERE w.tenant = calls.tenant"
        " AND w.conversation_id = calls.conversation_id AND w.room = calls.room"
        " AND w.registered_ms >= calls.dispatched_ms"
        " AND (w.ended_ms IS NOT NULL OR (w.beats = 1 AND w.lease_until_ms < ?2)))"
        " AND NOT EXISTS ("
        " SELECT 1 FROM writers w WHERE w.tenant = calls.tenant"
        " AND w.conversation_id = calls.conversation_id AND w.room = calls.room"
        " AND w.ended_ms IS NULL AND w.beats = 1 AND w.lease_until_ms >= ?2)",
        (now_ms, lost_before_ms),
    )
    return cursor.rowcount


def agent_life(
    db: sqlite3.Connection, tenant: str, conversation_id: str, room: str, now_ms: int
) -> AgentLife | None:
    """Read the writer of a room that lives, else the newest one.

    A second agent that came into the room and left (``already_served``) is the newest writer, and
    no reason to take the first one for lost.
    """
    found = db.execute(
        f"SELECT {rows.LIFE} FROM writers"  # noqa: S608
        " WHERE tenant = ? AND conversation_id = ? AND room = ? AND kind = 'call'"
        " ORDER BY (ended_ms IS NULL AND beats = 1 AND lease_until_ms >= ?) DESC,"
        " registered_ms DESC, fence DESC LIMIT 1",
        (tenant, conversation_id, room, now_ms),
    ).fetchone()
    return rows.life(found)
