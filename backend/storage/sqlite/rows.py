"""Reading rows that several modules need, and the one way an event goes into its table."""

import sqlite3
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from backend.clock import new_id, rfc3339
from backend.errors import NotFound
from backend.rules.events import canonical
from backend.rules.ordinals import Received
from backend.storage.records import Conversation, Gap, Owner

RUNS: Final = msgspec.json.Decoder(tuple[tuple[int, int], ...])
JSON: Final = msgspec.json.Encoder()
MAX_GAPS: Final = 100
"""Gaps shown at a conversation: enough to see that something is wrong and where it begins."""

COLUMNS: Final = "id, key, session_number, version, last_position, created_ms, updated_ms"


@dataclass(slots=True, kw_only=True)
class Head:
    """A conversation's row while a transaction changes it."""

    tenant: str
    id: str
    session_number: int
    version: int
    last_position: int
    highest_fence: int
    floor_fence: int

    def next_position(self) -> int:
        """Take the next position."""
        self.last_position += 1
        return self.last_position


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRow:
    """A writer's row."""

    writer_id: str
    fence: int
    room: str | None
    session_number: int
    window_session: int
    received: Received
    last_ordinal: int
    ended: bool


def no_conversation() -> NotFound:
    """Make the error for an unknown conversation and for a foreign one: they look the same."""
    return NotFound("unknown_conversation", "no such conversation")


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
        received=Received(acknowledged=found[4], ahead=runs(found[5])),
        last_ordinal=found[6],
        ended=found[7] is not None,
    )


def runs(text: str) -> tuple[tuple[int, int], ...]:
    """Read runs of ordinals; nearly always there are none."""
    return () if text == "[]" else RUNS.decode(text)


def known_writer(db: sqlite3.Connection, row: Head, writer_id: str) -> WriterRow:
    """Read a writer's row; raise NotFound."""
    writer = find_writer(db, row, writer_id)
    if writer is None:
        raise NotFound("unknown_writer", "no such writer: register it first")
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
        received = Received(acknowledged=acknowledged, ahead=runs(ahead))
        told = last if ended is not None else 0  # a living writer's newest are still on their way
        gaps += [Gap(writer_id=writer_id, first=a, last=b) for a, b in received.missing(told)]
    return tuple(gaps[:MAX_GAPS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An event that the backend makes itself."""

    kind: str
    at_ms: int
    session_number: int
    writer_id: str
    fence: int
    ordinal: int | None
    fields: dict[str, Any]  # Any: JSON of the kind
    event_id: str | None = None
    digest: bytes | None = None  # what identifies it, where that is not its body


def insert_made(db: sqlite3.Connection, row: Head, made: Made) -> tuple[str, int]:
    """Store an event of the backend's own; return its id and position."""
    event_id = made.event_id or new_id()
    fields = {"v": 1, "event_id": event_id, "kind": made.kind, "at": rfc3339(made.at_ms)}
    fields |= made.fields
    if made.ordinal is not None:
        fields["ordinal"] = made.ordinal
    body = canonical(fields)
    position = row.next_position()
    db.execute(
        "INSERT INTO event_ids VALUES (?, ?, ?, ?, ?)",
        (row.tenant, row.id, event_id, made.digest or sha256(body).digest(), position),
    )
    db.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.tenant,
            row.id,
            position,
            made.session_number,
            made.writer_id,
            made.fence,
            made.ordinal,
            made.kind,
            made.at_ms,
            body,
        ),
    )
    return event_id, position
