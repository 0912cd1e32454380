"""Storing a batch of events: the hot path of the whole program.

Identity is decided here, in one transaction: an event that is known is compared and answered with
the position it has, everything else takes the next positions of the conversation's row.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.errors import Conflict, ItemError
from backend.rules.events import MAX_ERRORS, Event
from backend.rules.ordinals import Received
from backend.storage.records import Batch, Standing, Stored
from backend.storage.sqlite import turns
from backend.storage.sqlite.rows import JSON, Head, WriterRow, head, known_writer, save_head

Known = dict[str, tuple[bytes, int]]
"""event_id -> digest and position."""


@dataclass(slots=True, kw_only=True)
class _Placed:
    """A new event and its place."""

    event: Event
    position: int
    session_number: int


@dataclass(slots=True, kw_only=True)
class _Sorted:
    """A batch on its way: what was there, what is new, what cannot be."""

    known: Known
    fresh: dict[str, Event] = field(default_factory=dict)
    errors: list[ItemError] = field(default_factory=list)

    def refuse(self, index: int, code: str, detail: str) -> None:
        self.errors.append(ItemError(index=index, code=code, detail=detail))


def store_events(db: sqlite3.Connection, tenant: str, batch: Batch, now_ms: int) -> Stored:
    """Store what is new of ``batch``; raise Conflict, storing nothing, when any of it clashes."""
    row = head(db, tenant, batch.conversation_id)
    writer = known_writer(db, row, batch.writer_id)
    sorted_ = _sort(db, row, writer, batch.events)
    if sorted_.errors:
        raise Conflict(
            "conflicting_events",
            "nothing was stored: some events clash with what the log holds",
            tuple(sorted_.errors[:MAX_ERRORS]),
        )
    positions = {event_id: position for event_id, (_, position) in sorted_.known.items()}
    received = writer.received
    if sorted_.fresh:
        placed = _place(row, writer, sorted_.fresh)
        positions |= {new.event.event_id: new.position for new in placed}
        received = _insert(db, row, writer, placed)
        if writer.ended and received.acknowledged >= writer.last_ordinal:
            turns.close_open(db, row, writer, now_ms)
        save_head(db, row, now_ms)
    return Stored(
        acknowledged=received.acknowledged,
        positions=tuple(positions[event.event_id] for event in batch.events),
        standing=Standing(session_number=row.session_number, highest_fence=row.highest_fence),
    )


def _sort(db: sqlite3.Connection, row: Head, writer: WriterRow, events: Sequence[Event]) -> _Sorted:
    """Tell new events from known ones, and find every clash."""
    sorted_ = _Sorted(known=_known(db, row, events))
    taken: set[int] = set()
    for index, event in enumerate(events):
        held = sorted_.known.get(event.event_id)
        twin = sorted_.fresh.get(event.event_id)
        digest = held[0] if held else twin.digest if twin else None
        if digest is not None:
            if digest != event.digest:
                sorted_.refuse(index, "other_content", "this event_id has other content")
            elif held and not writer.received.has(event.ordinal):
                sorted_.refuse(index, "other_writer", "another writer stored this event_id")
        elif event.ordinal in taken or writer.received.has(event.ordinal):
            sorted_.refuse(index, "ordinal_taken", "another event has this ordinal")
        elif (event.session_number or 0) > row.session_number:
            sorted_.refuse(index, "session_ahead", f"the current session is {row.session_number}")
        else:
            taken.add(event.ordinal)
            sorted_.fresh[event.event_id] = event
    return sorted_


def _known(db: sqlite3.Connection, row: Head, events: Sequence[Event]) -> Known:
    ids = JSON.encode([event.event_id for event in events]).decode()
    found = db.execute(
        "SELECT event_id, digest, position FROM event_ids WHERE tenant = ?"
        " AND conversation_id = ? AND event_id IN (SELECT value FROM json_each(?))",
        (row.tenant, row.id, ids),
    )
    return {event_id: (digest, position) for event_id, digest, position in found}


def _place(row: Head, writer: WriterRow, fresh: dict[str, Event]) -> list[_Placed]:
    """Give new events their positions, in the order their writer made them."""
    return [
        _Placed(
            event=event,
            position=row.next_position(),
            session_number=(
                writer.session_number if event.session_number is None else event.session_number
            ),
        )
        for event in sorted(fresh.values(), key=lambda event: event.ordinal)
    ]


def _insert(
    db: sqlite3.Connection, row: Head, writer: WriterRow, placed: Sequence[_Placed]
) -> Received:
    tenant, id_ = row.tenant, row.id
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
            for p in placed
        ],
    )
    followed = turns.follow(db, row, writer, [(p.event, p.session_number) for p in placed])
    row.version += followed.counted
    _insert_messages(db, row, writer, placed, followed.started)
    return _note_ordinals(db, row, writer, placed)


def _insert_messages(
    db: sqlite3.Connection,
    row: Head,
    writer: WriterRow,
    placed: Sequence[_Placed],
    started: dict[str, int],
) -> None:
    rows = [
        (
            row.tenant,
            row.id,
            p.session_number,
            writer.fence,
            started.get(p.event.turn_id or "", p.event.ordinal),
            int(p.event.role != "user"),
            p.event.ordinal,
            p.event.turn_id,
            p.position,
        )
        for p in placed
        if p.event.kind == "message"
    ]
    if rows:
        db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _note_ordinals(
    db: sqlite3.Connection, row: Head, writer: WriterRow, placed: Sequence[_Placed]
) -> Received:
    received = writer.received.with_all(p.event.ordinal for p in placed)
    window = max(writer.window_session, *(p.event.session_number or 0 for p in placed))
    db.execute(
        "UPDATE writers SET acknowledged = ?, ahead = ?, window_session = ?"
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (
            received.acknowledged,
            JSON.encode(received.ahead).decode(),
            window,
            row.tenant,
            row.id,
            writer.writer_id,
        ),
    )
    return received
