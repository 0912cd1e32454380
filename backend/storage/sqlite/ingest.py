"""Storing a batch of events: the hot path of the whole program.

Identity is decided here, in one transaction (``rules.batches``).
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from backend.rules import batches
from backend.rules.batches import Known, Placed
from backend.rules.events import Event
from backend.rules.ordinals import Received
from backend.rules.rows import Head, WriterRow, text_of
from backend.rules.usage import total
from backend.storage import rows
from backend.storage.records import Batch, Change, Standing, Stored
from backend.storage.sqlite import search, turns, usage
from backend.storage.sqlite.rows import head, known_writer, save_head


def store_events(
    db: sqlite3.Connection, tenant: str, batch: Batch, now_ms: int
) -> tuple[Stored, Change | None]:
    """Store what is new of ``batch``; raise Conflict, storing nothing, when any of it clashes."""
    row = head(db, tenant, batch.conversation_id)
    writer = known_writer(db, row, batch.writer_id)
    known = _known(db, row, batch.events)
    placed = batches.place(row, writer, known, batch.events, passing=batch.passing)
    received = writer.received
    if placed:
        received = _insert(db, row, writer, placed)
        if writer.ended and received.acknowledged >= writer.last_ordinal:
            turns.close_open(db, row, writer, now_ms)
        save_head(db, row, now_ms)
    stored = Stored(
        acknowledged=received.acknowledged,
        positions=batches.positions_of(batch.events, known, placed),
        standing=Standing(session_number=row.session_number, highest_fence=row.highest_fence),
    )
    return stored, rows.change(row, writer, placed)


def _known(db: sqlite3.Connection, row: Head, events: Sequence[Event]) -> Known:
    ids = msgspec.json.encode([event.event_id for event in events]).decode()
    found = db.execute(
        "SELECT event_id, digest, position FROM event_ids WHERE tenant = ?"
        " AND conversation_id = ? AND event_id IN (SELECT value FROM json_each(?))",
        (row.tenant, row.id, ids),
    )
    return {event_id: (digest, position) for event_id, digest, position in found}


def _insert(
    db: sqlite3.Connection, row: Head, writer: WriterRow, placed: Sequence[Placed]
) -> Received:
    tenant, id_ = row.tenant, row.id
    kept = batches.kept(placed)
    db.executemany(
        "INSERT INTO event_ids VALUES (?, ?, ?, ?, ?)",
        [(tenant, id_, p.event.event_id, p.event.digest, p.position) for p in placed],
    )
    db.executemany(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                tenant,
                id_,
                p.position,
                p.session_number,
                writer.writer_id,
                writer.fence,
                p.event.ordinal,
                p.event.kind,
                p.event.at_ms,
                p.event.body,
            )
            for p in kept
        ],
    )
    followed = turns.follow(db, row, writer, kept)
    row.version += followed.counted
    messages = batches.messages_of(writer, kept, followed.started)
    db.executemany(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(tenant, id_, *message) for message in messages],
    )
    if messages:
        search.note(db, tenant, id_, max(message[-1] for message in messages))
    if spent := total(p.event.usage for p in kept if p.event.usage):
        usage.add(db, (tenant, id_, writer.writer_id), spent)
    return _note_ordinals(db, row, writer, placed)


def _note_ordinals(
    db: sqlite3.Connection, row: Head, writer: WriterRow, placed: Sequence[Placed]
) -> Received:
    received, window = batches.received_with(writer, placed)
    db.execute(
        "UPDATE writers SET acknowledged = ?, ahead = ?, window_session = ?"
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (
            received.acknowledged,
            text_of(received.ahead),
            window,
            row.tenant,
            row.id,
            writer.writer_id,
        ),
    )
    return received
