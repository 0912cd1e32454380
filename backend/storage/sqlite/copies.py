"""Conversations as a whole: their order, their copies."""

import sqlite3
from collections.abc import Sequence

from backend.errors import Conflict
from backend.storage import rows
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
from backend.storage.sqlite import conversations, ingest, writers
from backend.storage.sqlite.rows import head


def order(db: sqlite3.Connection, reader: Reader, id_: str) -> list[int]:
    """List the positions of all events in conversation order."""
    conversations.check(db, reader, id_)
    found = db.execute(rows.ORDER.format(tenant="?1", id="?2"), (reader.tenant, id_))
    return [position for (position,) in found]


def events_at(
    db: sqlite3.Connection, reader: Reader, id_: str, positions: Sequence[int]
) -> list[bytes]:
    """Read the events at ``positions``, in that order."""
    conversations.check(db, reader, id_)
    marks = ", ".join("?" * len(positions))
    found = db.execute(
        f"SELECT {rows.EVENT} FROM events e WHERE e.tenant = ?"  # noqa: S608 - question marks
        f" AND e.conversation_id = ? AND e.position IN ({marks})",
        (reader.tenant, id_, *positions),
    )
    return rows.in_order(id_, found, positions)


def fork(db: sqlite3.Connection, by: Token, wanted: Fork, now_ms: int) -> tuple[Conversation, bool]:
    """Store a copy: a conversation whose first writer has ended."""
    reader = Reader(tenant=by.tenant)
    row = db.execute(
        "SELECT c.id, f.source_id, f.up_to_event_id FROM conversations c LEFT JOIN forks f"
        " ON f.tenant = c.tenant AND f.conversation_id = c.id WHERE c.tenant = ? AND c.id = ?",
        (by.tenant, wanted.conversation_id),
    ).fetchone()
    if row is not None:
        if row[1:] != (wanted.source_id, wanted.up_to_event_id):
            raise Conflict("conversation_exists", "conversation_id: there is another one with it")
        return conversations.read(db, reader, row[0], now_ms), False
    conversations.create(db, by, wanted.conversation_id, wanted.conversation_id, now_ms)
    db.execute(
        "INSERT INTO forks VALUES (?, ?, ?, ?)",
        (by.tenant, wanted.conversation_id, wanted.source_id, wanted.up_to_event_id),
    )
    if wanted.events:
        _fill(db, by.tenant, wanted, now_ms)
    return conversations.read(db, reader, wanted.conversation_id, now_ms), True


def _fill(db: sqlite3.Connection, tenant: str, wanted: Fork, now_ms: int) -> None:
    id_ = wanted.conversation_id
    writer = NewWriter(
        writer_id=FORK_WRITER,
        kind="text",
        room=None,
        job_id=None,
        started_ms=now_ms,
        claimed_fence=FORK_FENCE,
    )
    writers.register(db, head(db, tenant, id_), writer, lease_ms=0, now_ms=now_ms)
    batch = Batch(conversation_id=id_, writer_id=FORK_WRITER, events=wanted.events)
    ingest.store_events(db, tenant, batch, now_ms)
    end = WriterEnd(reason="fork", at_ms=now_ms, last_ordinal=len(wanted.events))
    writers.end_writer(db, head(db, tenant, id_), FORK_WRITER, end, now_ms=now_ms)
