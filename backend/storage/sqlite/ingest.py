"""Storing a batch of events: the hot path of the whole program.

Identity is decided here, in one transaction (``rules.batches``).
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from backend.errors import Conflict
from backend.rules import batches
from backend.rules.batches import Known, Placed
from backend.rules.events import Event
from backend.rules.ordinals import Received
from backend.rules.rows import Head, WriterRow, text_of
from backend.rules.usage import total
from backend.storage import rows
from backend.storage.records import Batch, Change, Standing, Stored
from backend.storage.sqlite import search, turns, usage
from backend.storage.sqlite.rows import head, insert_all, known_writer, save_head


def store_events(
    db: sqlite3.Connection, tenant: str, batch: Batch, now_ms: int
) -> tuple[Stored, Change | None]:
    """Store what is new of ``batch``; raise Conflict, storing nothing, when any of it clashes."""
    row = head(db, tenant, batch.conversation_id)
    writer = known_writer(db, row, batch.writer_id)
    if _goes_on(writer, batch.events):
        stored = _store_unseen(db, row, writer, batch, now_ms)
        if stored is not None:
            return stored
        row = head(db, tenant, batch.conversation_id)
    return _store(db, row, writer, batch, _known(db, row, batch.events), now_ms)


def _goes_on(writer: WriterRow, events: Sequence[Event]) -> bool:
    """Say whether every event comes after all that its writer has sent: nothing is repeated."""
    return bool(events) and min(event.ordinal for event in events) > writer.received.highest


def _store_unseen(
    db: sqlite3.Connection, row: Head, writer: WriterRow, batch: Batch, now_ms: int
) -> tuple[Stored, Change | None] | None:
    """Store a batch without looking for its ids first: their key tells whether one is known.

    None: nothing was stored, something clashes; who looks for the ids can say what.
    """
    db.execute("SAVEPOINT unseen")
    try:
        stored = _store(db, row, writer, batch, {}, now_ms)
    except (sqlite3.IntegrityError, Conflict):
        db.execute("ROLLBACK TO unseen")
        stored = None
    db.execute("RELEASE unseen")
    return stored


def _store(
    db: sqlite3.Connection, row: Head, writer: WriterRow, batch: Batch, known: Known, now_ms: int
) -> tuple[Stored, Change | None]:
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
    insert_all(
        db,
        "event_ids",
        [(tenant, id_, p.event.event_id, p.event.digest, p.position) for p in placed],
    )
    insert_all(
        db,
        "events",
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
    insert_all(db, "messages", [(tenant, id_, *message) for message in messages])
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
