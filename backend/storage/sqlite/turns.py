"""The rows of turns (``rules.turns`` says what they mean)."""

import sqlite3
from collections.abc import Sequence

import msgspec

from backend.rules import turns
from backend.rules.batches import Placed
from backend.rules.events import Event
from backend.rules.rows import Head, WriterRow
from backend.rules.turns import Followed, Turn, Turns
from backend.storage.sqlite.rows import insert_all, insert_own


def follow(
    db: sqlite3.Connection, row: Head, writer: WriterRow, placed: Sequence[Placed]
) -> Followed:
    """Take note of new events (ascending by ordinal) of one writer."""
    ids = turns.ids_in(placed)
    held = _load(db, row, writer, ids) if ids else {}
    followed = turns.follow(held, writer, placed)
    _save(db, row, writer, held)
    for start in followed.late:
        _move_messages(db, row, writer, start)
    return followed


def _load(db: sqlite3.Connection, row: Head, writer: WriterRow, ids: set[str]) -> Turns:
    found = db.execute(
        "SELECT turn_id, session_number, started_ordinal, ended FROM turns WHERE tenant = ?"
        " AND conversation_id = ? AND writer_id = ?"
        " AND turn_id IN (SELECT value FROM json_each(?))",
        (row.tenant, row.id, writer.writer_id, msgspec.json.encode(sorted(ids)).decode()),
    )
    return {
        id_: Turn(session_number=session, started_ordinal=started, ended=bool(ended))
        for id_, session, started, ended in found
    }


def _save(db: sqlite3.Connection, row: Head, writer: WriterRow, held: Turns) -> None:
    changed = [
        (row.tenant, row.id, writer.writer_id, id_, t.session_number, t.started_ordinal, t.ended)
        for id_, t in held.items()
        if t.changed
    ]
    insert_all(
        db,
        "turns",
        changed,
        "ON CONFLICT DO UPDATE SET"
        " started_ordinal = excluded.started_ordinal, ended = excluded.ended",
    )


def _move_messages(db: sqlite3.Connection, row: Head, writer: WriterRow, start: Event) -> None:
    """Give messages that arrived before their turn's start the place they belong to."""
    db.execute(
        "UPDATE messages SET turn_ordinal = ? WHERE tenant = ? AND conversation_id = ?"
        " AND fence = ? AND turn_id = ? AND turn_ordinal <> ?",
        (start.ordinal, row.tenant, row.id, writer.fence, start.turn_id, start.ordinal),
    )


def close_open(db: sqlite3.Connection, row: Head, writer: WriterRow, at_ms: int) -> None:
    """End the turns a dead writer left open: abandoned, each counted once."""
    left_open = db.execute(
        "SELECT turn_id, session_number FROM turns WHERE tenant = ? AND conversation_id = ?"
        " AND writer_id = ? AND ended = 0 ORDER BY started_ordinal",
        (row.tenant, row.id, writer.writer_id),
    ).fetchall()
    for turn_id, session in left_open:
        insert_own(db, row, turns.abandoned(writer, turn_id, session, at_ms))
        row.version += 1
        db.execute(
            "UPDATE turns SET ended = 1 WHERE tenant = ? AND conversation_id = ?"
            " AND writer_id = ? AND turn_id = ?",
            (row.tenant, row.id, writer.writer_id, turn_id),
        )
