"""What models used up: added up with the events that say so, read per call and in all."""

import sqlite3

from backend.errors import Malformed
from backend.rules.usage import Spent, shown
from backend.storage.records import CallUsage, ConversationUsage, Reader
from backend.storage.sqlite import conversations


def add(db: sqlite3.Connection, place: tuple[str, str, str], spent: Spent) -> None:
    """Add to what a writer has spent. ``place``: tenant, conversation, writer."""
    db.executemany(
        "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
        [(*place, *count, amount) for count, amount in spent.items()],
    )


def read(
    db: sqlite3.Connection, reader: Reader, id_: str, limit: int, after: str | None
) -> ConversationUsage:
    """Read a conversation's sums, and those of its calls, newest first."""
    conversations.check(db, reader, id_)
    place = (reader.tenant, id_)
    total = db.execute(
        "SELECT service, provider, model, count, sum(amount) FROM usage"
        " WHERE tenant = ? AND conversation_id = ? GROUP BY service, provider, model, count",
        place,
    )
    calls = db.execute(
        "SELECT writer_id, room, started_ms FROM writers w"
        " WHERE tenant = ? AND conversation_id = ? AND fence < ? AND EXISTS (SELECT 1 FROM usage u"
        " WHERE u.tenant = w.tenant AND u.conversation_id = w.conversation_id"
        " AND u.writer_id = w.writer_id) ORDER BY fence DESC LIMIT ?",
        (*place, _before(db, place, after), limit),
    ).fetchall()
    return ConversationUsage(
        items=shown(total),
        calls=[
            CallUsage(
                writer_id=writer_id,
                room=room,
                started_ms=started_ms,
                items=shown(
                    db.execute(
                        "SELECT service, provider, model, count, amount FROM usage"
                        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
                        (*place, writer_id),
                    )
                ),
            )
            for writer_id, room, started_ms in calls
        ],
    )


def _before(db: sqlite3.Connection, place: tuple[str, str], after: str | None) -> int:
    """Find the fence that a page begins below."""
    if after is None:
        return 2**62
    row = db.execute(
        "SELECT fence FROM writers WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (*place, after),
    ).fetchone()
    if row is None:
        raise Malformed("unknown_cursor", "after: not a cursor of this list")
    return int(row[0])
