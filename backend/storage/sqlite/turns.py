"""Turns as the backend follows them: where they begin, when they end, what that counts.

A conversation's version is the number of turns that ended, plus every event that came for a turn
after its end. A message sorts by the ordinal of its turn's start, which may arrive after it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from backend.rules.events import COUNTED, Event
from backend.storage.sqlite.rows import JSON, Head, Made, WriterRow, insert_made

Numbered = tuple[Event, int]
"""An event and the session it is stored under."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    session_number: int
    started_ordinal: int | None
    ended: bool
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a batch did to the turns: version steps, and each turn's first ordinal if known."""

    counted: int
    started: dict[str, int]


def follow(
    db: sqlite3.Connection, row: Head, writer: WriterRow, fresh: Sequence[Numbered]
) -> Followed:
    """Take note of ``fresh`` events (ascending by ordinal) of one writer."""
    ids = {event.turn_id for event, _ in fresh if event.turn_id is not None}
    if not ids:
        return Followed(counted=0, started={})
    turns = _load(db, row, writer, ids)
    counted = sum(_step(turns, event, session) for event, session in fresh if event.turn_id)
    _save(db, row, writer, turns)
    for event, _ in fresh:
        if event.kind == "turn_started" and event.ordinal < writer.received.highest:
            _move_messages(db, row, writer, event)
    started = {id_: t.started_ordinal for id_, t in turns.items() if t.started_ordinal is not None}
    return Followed(counted=counted, started=started)


def _step(turns: dict[str, _Turn], event: Event, session: int) -> int:
    """Apply one event to its turn; return how many versions it counts."""
    turn_id = event.turn_id or ""
    turn = turns.get(turn_id)
    counts = int(turn is not None and turn.ended)
    if event.kind not in {"turn_started", "turn_ended"}:
        return counts
    if turn is None:
        turn = turns[turn_id] = _Turn(session_number=session, started_ordinal=None, ended=False)
    turn.changed = True
    if event.kind == "turn_started":
        if turn.started_ordinal is None or event.ordinal < turn.started_ordinal:
            turn.started_ordinal = event.ordinal
        return counts
    if not turn.ended:
        turn.ended = True
        counts = int(event.outcome in COUNTED)
    return counts


def _load(db: sqlite3.Connection, row: Head, writer: WriterRow, ids: set[str]) -> dict[str, _Turn]:
    found = db.execute(
        "SELECT turn_id, session_number, started_ordinal, ended FROM turns WHERE tenant = ?"
        " AND conversation_id = ? AND writer_id = ?"
        " AND turn_id IN (SELECT value FROM json_each(?))",
        (row.tenant, row.id, writer.writer_id, JSON.encode(sorted(ids)).decode()),
    )
    return {
        id_: _Turn(session_number=session, started_ordinal=started, ended=bool(ended))
        for id_, session, started, ended in found
    }


def _save(db: sqlite3.Connection, row: Head, writer: WriterRow, turns: dict[str, _Turn]) -> None:
    db.executemany(
        "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " started_ordinal = excluded.started_ordinal, ended = excluded.ended",
        [
            (
                row.tenant,
                row.id,
                writer.writer_id,
                id_,
                t.session_number,
                t.started_ordinal,
                t.ended,
            )
            for id_, t in turns.items()
            if t.changed
        ],
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
        made = Made(
            kind="turn_ended",
            at_ms=at_ms,
            session_number=session,
            writer_id=writer.writer_id,
            fence=writer.fence,
            ordinal=None,
            fields={"turn_id": turn_id, "outcome": "abandoned"},
        )
        insert_made(db, row, made)
        row.version += 1
        db.execute(
            "UPDATE turns SET ended = 1 WHERE tenant = ? AND conversation_id = ?"
            " AND writer_id = ? AND turn_id = ?",
            (row.tenant, row.id, writer.writer_id, turn_id),
        )
