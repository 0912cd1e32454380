"""Reading rows that several modules need, and the one way an event goes into its table."""

import sqlite3
from typing import Any, Final

from backend.clock import new_id
from backend.rules.ordinals import Received
from backend.rules.own_events import OwnEvent
from backend.rules.rows import Head, WriterRow, no_conversation, no_writer, runs_of
from backend.storage.records import Conversation, Gap, Owner

MAX_GAPS: Final = 100
"""Gaps shown at a conversation: enough to see that something is wrong and where it begins."""

COLUMNS: Final = "id, key, session_number, version, last_position, created_ms, updated_ms"


def head(db: sqlite3.Connection, tenant: str, id_: str) -> Head:
    """Read a conversation's row for a change; raise NotFound."""
    row = db.execute(
        "SELECT session_number, version, last_position, highest_fence, floor_fence"
        " FROM conversations WHERE tenant = ? AND id = ?",
        (tenant, id_),
    ).fetchone()
    if row is None:
        raise no_conversation()
    return Head(
        tenant=tenant,
        id=id_,
        session_number=row[0],
        version=row[1],
        last_position=row[2],
        highest_fence=row[3],
        floor_fence=row[4],
    )


def save_head(db: sqlite3.Connection, row: Head, now_ms: int) -> None:
    """Write a conversation's row back."""
    db.execute(
        "UPDATE conversations SET session_number = ?, version = ?, last_position = ?,"
        " highest_fence = ?, floor_fence = ?, updated_ms = max(updated_ms, ?)"
        " WHERE tenant = ? AND id = ?",
        (
            row.session_number,
            row.version,
            row.last_position,
            row.highest_fence,
            row.floor_fence,
            now_ms,
            row.tenant,
            row.id,
        ),
    )


def find_writer(db: sqlite3.Connection, row: Head, writer_id: str) -> WriterRow | None:
    """Read a writer's row."""
    found = db.execute(
        "SELECT fence, room, session_number, window_session, acknowledged, ahead, last_ordinal,"
        " ended_ms FROM writers WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (row.tenant, row.id, writer_id),
    ).fetchone()
    if found is None:
        return None
    return WriterRow(
        writer_id=writer_id,
        fence=found[0],
        room=found[1],
        session_number=found[2],
        window_session=found[3],
        received=Received(acknowledged=found[4], ahead=runs_of(found[5])),
        last_ordinal=found[6],
        ended=found[7] is not None,
    )


def known_writer(db: sqlite3.Connection, row: Head, writer_id: str) -> WriterRow:
    """Read a writer's row; raise NotFound."""
    writer = find_writer(db, row, writer_id)
    if writer is None:
        raise no_writer()
    return writer


def owner(db: sqlite3.Connection, tenant: str, id_: str, now_ms: int) -> Owner | None:
    """Find the writer whose lease is alive."""
    found = db.execute(
        "SELECT writer_id, fence, lease_until_ms FROM writers WHERE tenant = ?"
        " AND conversation_id = ? AND lease_until_ms > ? AND ended_ms IS NULL"
        " ORDER BY fence DESC LIMIT 1",
        (tenant, id_, now_ms),
    ).fetchone()
    if found is None:
        return None
    return Owner(writer_id=found[0], fence=found[1], lease_until_ms=found[2])


def conversation(
    db: sqlite3.Connection, tenant: str, row: tuple[Any, ...], now_ms: int
) -> Conversation:
    """Make a conversation from its ``COLUMNS``, with its owner and gaps."""
    return Conversation(
        id=row[0],
        key=row[1],
        session_number=row[2],
        version=row[3],
        last_position=row[4],
        created_ms=row[5],
        updated_ms=row[6],
        owner=owner(db, tenant, row[0], now_ms),
        missing=_missing(db, tenant, row[0]),
    )


def _missing(db: sqlite3.Connection, tenant: str, id_: str) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    for writer_id, acknowledged, ahead, last, ended in db.execute(
        "SELECT writer_id, acknowledged, ahead, last_ordinal, ended_ms FROM writers"
        " WHERE tenant = ? AND conversation_id = ? AND (ahead <> '[]' OR"
        " (ended_ms IS NOT NULL AND last_ordinal > acknowledged)) ORDER BY fence",
        (tenant, id_),
    ):
        received = Received(acknowledged=acknowledged, ahead=runs_of(ahead))
        told = last if ended is not None else 0  # a living writer's newest are still on their way
        gaps += [Gap(writer_id=writer_id, first=a, last=b) for a, b in received.missing(told)]
    return tuple(gaps[:MAX_GAPS])


def insert_own(db: sqlite3.Connection, row: Head, own: OwnEvent) -> int:
    """Store an event of the backend's own; return its position."""
    event_id = own.event_id or new_id()
    digest, body = own.encoded(event_id)
    position = row.next_position()
    db.execute(
        "INSERT INTO event_ids VALUES (?, ?, ?, ?, ?)",
        (row.tenant, row.id, event_id, digest, position),
    )
    db.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.tenant,
            row.id,
            position,
            own.session_number,
            own.writer_id,
            own.fence,
            own.ordinal,
            own.kind,
            own.at_ms,
            body,
        ),
    )
    return position
