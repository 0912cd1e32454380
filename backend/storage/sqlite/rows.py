"""Reading rows that several modules need, and the one way rows go into a table."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

from backend.clock import new_id
from backend.rules.own_events import OwnEvent
from backend.rules.rows import Head, WriterRow, no_conversation, no_writer
from backend.storage import rows
from backend.storage.records import Conversation, Owner

AT_ONCE: Final = 25
"""Rows written by one statement. More is no faster, and SQLite keeps only so many statements."""


def insert_all(
    db: sqlite3.Connection, into: str, values: Sequence[rows.Row], then: str = ""
) -> None:
    """Insert rows ``into`` a table, ``then`` saying what happens to those that are there.

    Many in a statement: a third less work than one by one, and the other threads are let in
    once instead of after every row.
    """
    for start in range(0, len(values), AT_ONCE):
        part = values[start : start + AT_ONCE]
        statement = _insertion(into, then, len(part[0]), len(part))
        db.execute(statement, tuple(chain.from_iterable(part)))


@cache
def _insertion(into: str, then: str, column_count: int, row_count: int) -> str:
    row = f"({', '.join('?' * column_count)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * row_count)} {then}"  # noqa: S608


def head(db: sqlite3.Connection, tenant: str, id_: str) -> Head:
    """Read a conversation's row for a change; raise NotFound."""
    row = db.execute(
        f"SELECT {rows.HEAD} FROM conversations WHERE tenant = ? AND id = ?",  # noqa: S608
        (tenant, id_),
    ).fetchone()
    if row is None:
        raise no_conversation()
    return rows.head(tenant, id_, row)


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


def newest_session(db: sqlite3.Connection, row: Head) -> int:
    """Read the highest session number of the log itself."""
    found = rows.NEWEST_SESSION.format(tenant="?1", id="?2", greatest="max")
    (number,) = db.execute(found, (row.tenant, row.id)).fetchone()
    return int(number)


def find_writer(db: sqlite3.Connection, row: Head, writer_id: str) -> WriterRow | None:
    """Read a writer's row."""
    found = db.execute(
        f"SELECT {rows.WRITER} FROM writers"  # noqa: S608
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (row.tenant, row.id, writer_id),
    ).fetchone()
    return None if found is None else rows.writer(writer_id, found)


def known_writer(db: sqlite3.Connection, row: Head, writer_id: str) -> WriterRow:
    """Read a writer's row; raise NotFound."""
    writer = find_writer(db, row, writer_id)
    if writer is None:
        raise no_writer()
    return writer


def owner(db: sqlite3.Connection, tenant: str, id_: str, now_ms: int) -> Owner | None:
    """Find the writer whose lease is alive."""
    found = db.execute(
        f"SELECT {rows.OWNER} FROM writers WHERE tenant = ?"  # noqa: S608
        " AND conversation_id = ? AND lease_until_ms > ? AND ended_ms IS NULL"
        " ORDER BY fence DESC LIMIT 1",
        (tenant, id_, now_ms),
    ).fetchone()
    return rows.owner(found)


def conversation(db: sqlite3.Connection, tenant: str, row: rows.Row, now_ms: int) -> Conversation:
    """Make a conversation from its row, with its owner and gaps."""
    behind = db.execute(
        f"SELECT {rows.GAPS} FROM writers"  # noqa: S608
        " WHERE tenant = ? AND conversation_id = ? AND (ahead <> '[]' OR"
        " last_ordinal > acknowledged) ORDER BY fence",
        (tenant, row[0]),
    )
    return rows.conversation(row, owner(db, tenant, row[0], now_ms), rows.gaps(behind, now_ms))


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
