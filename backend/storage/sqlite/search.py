"""The words of messages, in FTS5. The index is a copy: the log can fill it again."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.storage import rows
from backend.storage.ports import CATCH_UP, COMPARED
from backend.storage.records import Hit, Reader
from backend.storage.sqlite.conversations import check
from backend.storage.sqlite.rows import insert_all

_POSITION_BITS: Final = 32
_POSITIONS: Final = 2**_POSITION_BITS - 1
"""The part of an index row's number that is a position; above it stands the conversation's."""


def note(db: sqlite3.Connection, tenant: str, id_: str, position: int) -> None:
    """Remember that a message waits for the index: all of search that writing a batch pays."""
    db.execute(
        "INSERT INTO search_state (tenant, conversation_id, up_to) VALUES (?, ?, ?)"
        " ON CONFLICT (tenant, conversation_id) DO UPDATE SET up_to = excluded.up_to",
        (tenant, id_, position),
    )


def index_some(db: sqlite3.Connection, limit: int) -> int:
    """Index messages among ``limit`` events of one conversation; say how many were looked at."""
    row = db.execute(
        "SELECT tenant, conversation_id FROM search_state WHERE up_to > indexed LIMIT 1"
    ).fetchone()
    return index(db, row[0], row[1], limit) if row else 0


def index(db: sqlite3.Connection, tenant: str, id_: str, limit: int = CATCH_UP) -> int:
    """Index the messages of a conversation that wait, among its next ``limit`` events."""
    at = _place(db, tenant, id_)
    if at is None or not at.is_behind:
        return 0
    until = min(at.up_to, at.indexed + limit)
    found = db.execute(
        "SELECT position, body FROM events WHERE tenant = ? AND conversation_id = ?"
        " AND position > ? AND position <= ? AND kind = 'message' ORDER BY position",
        (tenant, id_, at.indexed, until),
    )
    insert_all(
        db,
        "search_words (rowid, words)",
        [(at.row_of(position), at.words_of(body)) for position, body in found.fetchall()],
    )
    db.execute("UPDATE search_state SET indexed = ? WHERE number = ?", (until, at.number))
    return until - at.indexed


def forget(
    db: sqlite3.Connection, place: tuple[str, str], messages: Sequence[tuple[int, bytes]]
) -> None:
    """Take messages out of the index: it has no texts, so it is told what they were."""
    at = _place(db, *place)
    if at is None:
        return
    db.executemany(
        "INSERT INTO search_words (search_words, rowid, words) VALUES ('delete', ?, ?)",
        [
            (at.row_of(position), at.words_of(body))
            for position, body in messages
            if position <= at.indexed
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a conversation is in the index."""

    number: int
    up_to: int
    indexed: int

    @property
    def is_behind(self) -> bool:
        return self.up_to > self.indexed

    def row_of(self, position: int) -> int:
        return self.number << _POSITION_BITS | position

    def words_of(self, body: bytes) -> str:
        """Write the words of a message as the index knows them."""
        return " ".join(map(self.term, rows.words_in(body)))

    def term(self, word: str) -> str:
        return f"{self.number:x}_{word}"


def _place(db: sqlite3.Connection, tenant: str, id_: str) -> _Place | None:
    row = db.execute(
        "SELECT number, up_to, indexed FROM search_state WHERE tenant = ? AND conversation_id = ?",
        (tenant, id_),
    ).fetchone()
    return None if row is None else _Place(number=row[0], up_to=row[1], indexed=row[2])


def find_unless_behind(
    db: sqlite3.Connection, reader: Reader, id_: str, words: Sequence[str], limit: int
) -> list[Hit] | None:
    """Do as ``find`` does; None: messages wait for the index."""
    check(db, reader, id_)
    at = _place(db, reader.tenant, id_)
    if at is not None and at.is_behind:
        return None
    return _find(db, at, (reader.tenant, id_), words, limit)


def find(
    db: sqlite3.Connection, reader: Reader, id_: str, words: Sequence[str], limit: int
) -> list[Hit]:
    """Find messages with all ``words``: the best of the newest ``COMPARED``; raise NotFound."""
    check(db, reader, id_)
    return _find(db, _place(db, reader.tenant, id_), (reader.tenant, id_), words, limit)


def _find(
    db: sqlite3.Connection,
    at: _Place | None,
    place: tuple[str, str],
    words: Sequence[str],
    limit: int,
) -> list[Hit]:
    if at is None:
        return []
    whole = " ".join(f'"{at.term(word)}"' for word in words)  # letters and digits only
    count = max(limit, COMPARED)
    found = _matching(db, place, whole, count)
    if len(found) < count:  # beginnings cost more: only where whole words find too little
        found = _matching(db, place, f"{whole} *", count)
    return rows.hits(place[1], found, words, limit)


def _matching(
    db: sqlite3.Connection, place: tuple[str, str], words: str, count: int
) -> list[rows.Row]:
    """Read the newest messages that match."""
    return db.execute(
        f"SELECT {rows.EVENT} FROM (SELECT rowid FROM search_words"  # noqa: S608 - constants
        " WHERE search_words MATCH ? ORDER BY rowid DESC LIMIT ?) h"
        " CROSS JOIN events e ON e.tenant = ? AND e.conversation_id = ?"
        f" AND e.position = h.rowid & {_POSITIONS} ORDER BY h.rowid DESC",
        (words, count, *place),
    ).fetchall()
