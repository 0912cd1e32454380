"""The words of messages, in FTS5. The index is a copy: the log can fill it again."""

import sqlite3
from collections.abc import Sequence

from backend.storage import rows
from backend.storage.ports import CATCH_UP, COMPARED
from backend.storage.records import Hit, Reader
from backend.storage.sqlite.conversations import check


def note(db: sqlite3.Connection, tenant: str, id_: str, position: int) -> None:
    """Remember that a message waits for the index: all of search that writing a batch pays."""
    db.execute(
        "INSERT INTO search_state (tenant, conversation_id, up_to) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET up_to = excluded.up_to",
        (tenant, id_, position),
    )


def index_some(db: sqlite3.Connection, limit: int) -> int:
    """Index messages among ``limit`` events of one conversation; say how many were looked at."""
    row = db.execute(
        "SELECT tenant, conversation_id FROM search_state WHERE up_to > indexed LIMIT 1"
    ).fetchone()
    return index(db, row[0], row[1], limit) if row else 0


def is_behind(db: sqlite3.Connection, reader: Reader, id_: str) -> bool:
    """Say whether messages of a conversation wait for the index; raise NotFound."""
    check(db, reader, id_)
    return _behind(db, reader.tenant, id_) is not None


def index(db: sqlite3.Connection, tenant: str, id_: str, limit: int = CATCH_UP) -> int:
    """Index the messages of a conversation that wait, among its next ``limit`` events."""
    behind = _behind(db, tenant, id_)
    if behind is None:
        return 0
    up_to, indexed = behind
    until = min(up_to, indexed + limit)
    found = db.execute(
        "SELECT position, body FROM events WHERE tenant = ? AND conversation_id = ?"
        " AND position > ? AND position <= ? AND kind = 'message' ORDER BY position",
        (tenant, id_, indexed, until),
    ).fetchall()
    scope = rows.scope(tenant, id_)
    for position, body in found:
        doc = db.execute(
            "INSERT INTO search_docs (tenant, conversation_id, position) VALUES (?, ?, ?)",
            (tenant, id_, position),
        ).lastrowid
        db.execute(
            "INSERT INTO search_words (rowid, scope, words) VALUES (?, ?, ?)",
            (doc, scope, " ".join(rows.words_in(body))),
        )
    db.execute(
        "UPDATE search_state SET indexed = ? WHERE tenant = ? AND conversation_id = ?",
        (until, tenant, id_),
    )
    return until - indexed


def forget(
    db: sqlite3.Connection, place: tuple[str, str], messages: Sequence[tuple[int, bytes]]
) -> None:
    """Take messages out of the index: it has no texts, so it is told what they were."""
    for position, body in messages:
        row = db.execute(
            "DELETE FROM search_docs WHERE tenant = ? AND conversation_id = ? AND position = ?"
            " RETURNING doc",
            (*place, position),
        ).fetchone()
        if row is not None:
            db.execute(
                "INSERT INTO search_words (search_words, rowid, scope, words)"
                " VALUES ('delete', ?, ?, ?)",
                (row[0], rows.scope(*place), " ".join(rows.words_in(body))),
            )


def _behind(db: sqlite3.Connection, tenant: str, id_: str) -> tuple[int, int] | None:
    row: tuple[int, int] | None = db.execute(
        "SELECT up_to, indexed FROM search_state"
        " WHERE tenant = ? AND conversation_id = ? AND up_to > indexed",
        (tenant, id_),
    ).fetchone()
    return row


def find(
    db: sqlite3.Connection, reader: Reader, id_: str, words: Sequence[str], limit: int
) -> list[Hit]:
    """Find messages with all ``words``: the best of the newest ``COMPARED``."""
    check(db, reader, id_)
    whole = " ".join(f'"{word}"' for word in words)  # words are letters and digits only
    count = max(limit, COMPARED)
    found = _matching(db, reader.tenant, id_, whole, count)
    if len(found) < count:  # beginnings cost more: only where whole words find too little
        found = _matching(db, reader.tenant, id_, f"{whole} *", count)
    return rows.hits(id_, found, words, limit)


def _matching(
    db: sqlite3.Connection, tenant: str, id_: str, words: str, count: int
) -> list[rows.Row]:
    """Read the newest messages that match."""
    return db.execute(
        f"SELECT {rows.EVENT} FROM (SELECT rowid FROM search_words"  # noqa: S608 - constants
        " WHERE search_words MATCH ? ORDER BY rowid DESC LIMIT ?) h"
        " JOIN search_docs d ON d.doc = h.rowid JOIN events e ON e.tenant = d.tenant"
        " AND e.conversation_id = d.conversation_id AND e.position = d.position"
        " ORDER BY h.rowid DESC",
        (f"scope : {rows.scope(tenant, id_)} AND words : ({words})", count),
    ).fetchall()
