"""Reading events and messages, as the JSON objects the API answers with."""

import sqlite3

from backend.errors import Gone, NotFound
from backend.storage import rows
from backend.storage.records import EventFilter, Reader
from backend.storage.sqlite.conversations import check, check_cursor


def events(db: sqlite3.Connection, reader: Reader, id_: str, wanted: EventFilter) -> list[bytes]:
    """List events ascending by position."""
    check_cursor(db, reader, id_, wanted.after)
    clauses = ["e.tenant = ?", "e.conversation_id = ?", "e.position > ?"]
    values: list[object] = [reader.tenant, id_, wanted.after]
    for clause, value in (
        ("e.session_number = ?", wanted.session),
        ("e.at_ms >= ?", wanted.from_ms),
        ("e.at_ms <= ?", wanted.to_ms),
    ):
        if value is not None:
            clauses.append(clause)
            values.append(value)
    if wanted.kinds:
        clauses.append(f"e.kind IN ({', '.join('?' * len(wanted.kinds))})")
        values += wanted.kinds
    found = db.execute(
        f"SELECT {rows.EVENT} FROM events e WHERE {' AND '.join(clauses)}"  # noqa: S608 - constants
        " ORDER BY e.position LIMIT ?",
        (*values, wanted.limit),
    )
    return rows.events(id_, found)


def messages(
    db: sqlite3.Connection, reader: Reader, id_: str, last: int, before: str | None
) -> list[bytes]:
    """List the ``last`` messages before one, oldest first, in conversation order."""
    check(db, reader, id_)
    place = rows.NO_MESSAGE if before is None else _place(db, reader.tenant, id_, before)
    found = db.execute(
        f"SELECT {rows.EVENT} FROM"  # noqa: S608
        f" (SELECT tenant, conversation_id, position, {rows.MESSAGE_ORDER}"
        " FROM messages WHERE tenant = ? AND conversation_id = ?"
        f" AND ({rows.MESSAGE_ORDER}) < (?, ?, ?, ?, ?)"
        " ORDER BY session_number DESC, fence DESC, turn_ordinal DESC, role_rank DESC,"
        " ordinal DESC LIMIT ?) m JOIN events e ON e.tenant = m.tenant"
        " AND e.conversation_id = m.conversation_id AND e.position = m.position"
        " ORDER BY m.session_number, m.fence, m.turn_ordinal, m.role_rank, m.ordinal",
        (reader.tenant, id_, *place, last),
    )
    return rows.events(id_, found)


def _place(
    db: sqlite3.Connection, tenant: str, id_: str, event_id: str
) -> tuple[int, int, int, int, int]:
    """Find a message's place in the conversation order."""
    row = db.execute(
        f"SELECT {', '.join('m.' + name for name in rows.MESSAGE_ORDER.split(', '))}"  # noqa: S608 - constants
        " FROM event_ids i JOIN events e ON e.tenant = i.tenant"
        " AND e.conversation_id = i.conversation_id AND e.position = i.position"
        " JOIN messages m ON m.tenant = e.tenant AND m.conversation_id = e.conversation_id"
        " AND m.session_number = e.session_number AND m.fence = e.fence AND m.position = e.position"
        " WHERE i.tenant = ? AND i.conversation_id = ? AND i.event_id = ?",
        (tenant, id_, event_id),
    ).fetchone()
    if row is None:
        _tell_pruned(db, tenant, id_, event_id)
        raise NotFound("unknown_message", "before: no such message in this conversation")
    return row[0], row[1], row[2], row[3], row[4]


def _tell_pruned(db: sqlite3.Connection, tenant: str, id_: str, event_id: str) -> None:
    """Raise Gone for a message that was here and has been pruned."""
    row = db.execute(
        "SELECT c.pruned_position FROM event_ids i JOIN conversations c ON c.tenant = i.tenant"
        " AND c.id = i.conversation_id WHERE i.tenant = ? AND i.conversation_id = ?"
        " AND i.event_id = ? AND i.position BETWEEN 1 AND c.pruned_position"
        " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.tenant = i.tenant"
        " AND e.conversation_id = i.conversation_id AND e.position = i.position)",
        (tenant, id_, event_id),
    ).fetchone()
    if row is not None:
        raise Gone(row[0])
