"""Conversations: resolve, read, list, clear."""

import sqlite3

from backend.clock import new_id
from backend.errors import Conflict, Malformed
from backend.rules import fences
from backend.rules.own_events import clear_digest, context_cleared
from backend.rules.rows import no_conversation
from backend.storage import rows
from backend.storage.records import Cleared, Conversation, Reader, Token
from backend.storage.sqlite.rows import (
    conversation,
    head,
    insert_own,
    newest_session,
    owner,
    save_head,
)


def create(db: sqlite3.Connection, by: Token, id_: str, key: str, now_ms: int) -> None:
    """Store a new conversation and make it the newest of its key."""
    db.execute(
        "INSERT INTO conversations (tenant, id, key, opened_by, created_ms, updated_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (by.tenant, id_, key, by.token_id, now_ms, now_ms),
    )
    db.execute(
        "INSERT INTO conversation_keys VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET conversation_id = excluded.conversation_id",
        (by.tenant, key, id_),
    )


def resolve(
    db: sqlite3.Connection, by: Token, key: str, max_gap_s: float | None, now_ms: int
) -> tuple[Conversation, bool]:
    """Get or create. One writer thread: two that race get the same conversation."""
    row = db.execute(
        "SELECT c.id, c.updated_ms FROM conversation_keys k JOIN conversations c"
        " ON c.tenant = k.tenant AND c.id = k.conversation_id WHERE k.tenant = ? AND k.key = ?",
        (by.tenant, key),
    ).fetchone()
    if row is not None and not _is_past(db, by.tenant, row, max_gap_s, now_ms):
        return read(db, Reader(tenant=by.tenant), row[0], now_ms), False
    id_ = new_id()
    create(db, by, id_, key, now_ms)
    return read(db, Reader(tenant=by.tenant), id_, now_ms), True


def _is_past(
    db: sqlite3.Connection,
    tenant: str,
    row: tuple[str, int],
    max_gap_s: float | None,
    now_ms: int,
) -> bool:
    """Say whether a conversation rested too long to be continued. A live one never did."""
    if max_gap_s is None or now_ms - row[1] <= max_gap_s * 1000:
        return False
    return owner(db, tenant, row[0], now_ms) is None


def read(db: sqlite3.Connection, reader: Reader, id_: str, now_ms: int) -> Conversation:
    """Read one conversation; raise NotFound."""
    row = db.execute(
        f"SELECT {rows.CONVERSATION} FROM conversations WHERE tenant = ? AND id = ?"  # noqa: S608 - a constant
        " AND opened_by = coalesce(?, opened_by)",
        (reader.tenant, id_, reader.opened_by),
    ).fetchone()
    if row is None:
        raise no_conversation()
    return conversation(db, reader.tenant, row, now_ms)


def check(db: sqlite3.Connection, reader: Reader, id_: str) -> None:
    """Raise NotFound unless ``reader`` may see the conversation."""
    last_position(db, reader, id_)


def last_position(db: sqlite3.Connection, reader: Reader, id_: str) -> int:
    """Read the position of the newest event; raise NotFound."""
    row = db.execute(
        "SELECT last_position FROM conversations WHERE tenant = ? AND id = ?"
        " AND opened_by = coalesce(?, opened_by)",
        (reader.tenant, id_, reader.opened_by),
    ).fetchone()
    if row is None:
        raise no_conversation()
    return int(row[0])


def check_cursor(db: sqlite3.Connection, reader: Reader, id_: str, after: int) -> None:
    """Raise NotFound as ``check`` does, Gone when events after the cursor were pruned."""
    check(db, reader, id_)
    (pruned,) = db.execute(
        "SELECT pruned_position FROM conversations WHERE tenant = ? AND id = ?",
        (reader.tenant, id_),
    ).fetchone()
    rows.not_pruned(after, pruned)


def newest(
    db: sqlite3.Connection, reader: Reader, limit: int, after: str | None, now_ms: int
) -> list[Conversation]:
    """List conversations, newest first."""
    start = rows.NEWEST
    if after is not None:
        start = db.execute(
            "SELECT created_ms, id FROM conversations WHERE tenant = ? AND id = ?",
            (reader.tenant, after),
        ).fetchone()
        if start is None:
            raise Malformed("unknown_cursor", "after: not a cursor of this list")
    found = db.execute(
        f"SELECT {rows.CONVERSATION} FROM conversations WHERE tenant = ?"  # noqa: S608 - a constant
        " AND opened_by = coalesce(?, opened_by) AND (created_ms, id) < (?, ?)"
        " ORDER BY created_ms DESC, id DESC LIMIT ?",
        (reader.tenant, reader.opened_by, *start, limit),
    ).fetchall()
    return [conversation(db, reader.tenant, row, now_ms) for row in found]


def clear(
    db: sqlite3.Connection, tenant: str, id_: str, event_id: str, reason: str | None, now_ms: int
) -> Cleared:
    """Begin a new session; the same event_id clears once."""
    row = head(db, tenant, id_)
    known = db.execute(
        "SELECT digest, position FROM event_ids"
        " WHERE tenant = ? AND conversation_id = ? AND event_id = ?",
        (tenant, id_, event_id),
    ).fetchone()
    if known is not None:
        return _cleared_before(db, (tenant, id_), event_id, known, clear_digest(event_id, reason))
    row.session_number = max(row.session_number, newest_session(db, row)) + 1
    row.floor_fence = fences.after_clear(
        highest=row.highest_fence, floor=row.floor_fence, now_ms=now_ms
    )
    db.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
        (tenant, id_, row.session_number, row.floor_fence, now_ms),
    )
    position = insert_own(db, row, context_cleared(row, event_id, reason, now_ms))
    save_head(db, row, now_ms)
    return Cleared(session_number=row.session_number, event_id=event_id, position=position)


def _cleared_before(
    db: sqlite3.Connection,
    place: tuple[str, str],
    event_id: str,
    known: tuple[bytes, int],
    asked: bytes,
) -> Cleared:
    digest, position = known
    if digest != asked:
        raise Conflict("other_content", "this event_id was used for something else")
    (number,) = db.execute(
        "SELECT session_number FROM events"
        " WHERE tenant = ? AND conversation_id = ? AND position = ?",
        (*place, position),
    ).fetchone()
    return Cleared(session_number=number, event_id=event_id, position=position)


def has_dropped(
    db: sqlite3.Connection, tenant: str, id_: str, session_number: int, now_ms: int
) -> bool:
    """Say whether no writer that may be talking is in a session before ``session_number``."""
    row = db.execute(
        rows.BEHIND.format(tenant="?1", id="?2", number="?3", now="?4", beats="beats = 1"),
        (tenant, id_, session_number, now_ms),
    ).fetchone()
    return row is None
