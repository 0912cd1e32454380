"""Writers: registration, lease, end."""

import sqlite3

from backend.rules import fences, leases
from backend.rules.own_events import call_ended
from backend.rules.rows import Head, previous_of
from backend.rules.usage import total
from backend.storage import rows
from backend.storage.records import (
    Heartbeat,
    NewWriter,
    PreviousWriter,
    Registration,
    SilentWriter,
    Standing,
    WriterEnd,
)
from backend.storage.sqlite import turns, usage
from backend.storage.sqlite.rows import (
    find_writer,
    insert_own,
    known_writer,
    newest_session,
    owner,
    save_head,
)


def register(
    db: sqlite3.Connection, head_: Head, writer: NewWriter, *, lease_ms: int, now_ms: int
) -> Registration:
    """Make a writer's fence final; a known writer gets the answer it got."""
    head_.session_number = max(head_.session_number, newest_session(db, head_))
    holder = owner(db, head_.tenant, head_.id, now_ms)
    known = find_writer(db, head_, writer.writer_id)
    if known is None:
        fence, session = _insert(db, head_, writer, 0 if holder else now_ms + lease_ms, now_ms)
    else:
        fence, session = known.fence, known.session_number
    return Registration(
        fence=fence,
        session_number=head_.session_number,
        version=head_.version,
        owner=holder or owner(db, head_.tenant, head_.id, now_ms),
        created=known is None,
        previous=_previous(db, head_, fence),
        fence_session=session,
    )


def _previous(db: sqlite3.Connection, row: Head, fence: int) -> tuple[PreviousWriter, ...]:
    found = db.execute(
        "SELECT writer_id, fence, last_ordinal, acknowledged, ahead FROM writers"
        " WHERE tenant = ? AND conversation_id = ? AND fence < ?"
        " AND (last_ordinal > 0 OR acknowledged > 0 OR ahead <> '[]')"
        " ORDER BY fence DESC LIMIT 1",
        (row.tenant, row.id, fence),
    )
    return previous_of(found)


def _insert(
    db: sqlite3.Connection, head_: Head, writer: NewWriter, lease_until_ms: int, now_ms: int
) -> tuple[int, int]:
    fence = fences.grant(
        claimed=writer.claimed_fence,
        started_ms=writer.started_ms,
        highest=head_.highest_fence,
        floor=head_.floor_fence,
        is_used=lambda number: _is_used(db, head_, number),
    )
    starts = [
        fences.SessionStart(number=number, after_fence=after)
        for number, after in db.execute(
            "SELECT number, after_fence FROM sessions WHERE tenant = ? AND conversation_id = ?",
            (head_.tenant, head_.id),
        )
    ]
    session = fences.session_at(fence, starts)
    db.execute(
        "INSERT INTO writers (tenant, conversation_id, writer_id, fence, kind, room, job_id,"
        " started_ms, registered_ms, session_number, window_session, lease_until_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            head_.tenant,
            head_.id,
            writer.writer_id,
            fence,
            writer.kind,
            writer.room,
            writer.job_id,
            writer.started_ms,
            now_ms,
            session,
            session,
            lease_until_ms,
        ),
    )
    head_.highest_fence = max(head_.highest_fence, fence)
    save_head(db, head_, now_ms)
    return fence, session


def _is_used(db: sqlite3.Connection, head_: Head, fence: int) -> bool:
    row = db.execute(
        "SELECT 1 FROM writers WHERE tenant = ? AND conversation_id = ? AND fence = ?",
        (head_.tenant, head_.id, fence),
    ).fetchone()
    return row is not None


def renew(
    db: sqlite3.Connection, head_: Head, writer_id: str, beat: Heartbeat, *, now_ms: int
) -> Standing:
    """Extend a lease. The live holder wins: anyone else is refused until it ends or expires."""
    writer = known_writer(db, head_, writer_id)
    holder = owner(db, head_.tenant, head_.id, now_ms)
    leases.check_renewal(writer, None if holder is None else (holder.writer_id, holder.fence))
    window = leases.window_after(head_, writer, beat.session_number)
    db.execute(
        "UPDATE writers SET lease_until_ms = ?, beats = 1, window_session = ?,"
        " last_ordinal = max(last_ordinal, ?)"
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (
            now_ms + round(beat.lease_s * 1000),
            window,
            beat.last_ordinal,
            head_.tenant,
            head_.id,
            writer_id,
        ),
    )
    return _standing(head_)


def end_writer(
    db: sqlite3.Connection, head_: Head, writer_id: str, end: WriterEnd, *, now_ms: int
) -> Standing:
    """Close a writer: open turns first, then ``call_ended``. A second end changes nothing."""
    writer = known_writer(db, head_, writer_id)
    if end.usage:
        _add_usage(db, (head_.tenant, head_.id, writer_id), end)
    if writer.ended:
        return _standing(head_)
    turns.close_open(db, head_, writer, end.at_ms)
    insert_own(db, head_, call_ended(writer, end))
    db.execute(
        "UPDATE writers SET ended_ms = ?, end_reason = ?, lease_until_ms = 0,"
        " last_ordinal = max(last_ordinal, ?)"
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ?",
        (end.at_ms, end.reason, end.last_ordinal or 0, head_.tenant, head_.id, writer_id),
    )
    save_head(db, head_, now_ms)
    return _standing(head_)


def _add_usage(db: sqlite3.Connection, place: tuple[str, str, str], end: WriterEnd) -> None:
    """Add what the writer itself says at its end, once; it may have been ended as lost before."""
    told = db.execute(
        "UPDATE writers SET usage_told = 1"
        " WHERE tenant = ? AND conversation_id = ? AND writer_id = ? AND usage_told = 0",
        place,
    )
    if told.rowcount:
        usage.add(db, place, total([end.usage]))


def silent(
    db: sqlite3.Connection, before_ms: int, after: tuple[str, str, str], limit: int
) -> list[SilentWriter]:
    """List open writers whose lease ran out before an instant, ascending by their names."""
    found = db.execute(
        f"SELECT {rows.SILENT} FROM writers INDEXED BY writers_open"  # noqa: S608 - a constant
        " WHERE ended_ms IS NULL AND (tenant, conversation_id, writer_id) > (?, ?, ?)"
        " AND lease_until_ms < ? AND registered_ms < ?"
        " ORDER BY tenant, conversation_id, writer_id LIMIT ?",
        (*after, before_ms, before_ms, limit),
    )
    return [rows.silent(row) for row in found]


def _standing(head_: Head) -> Standing:
    return Standing(session_number=head_.session_number, highest_fence=head_.highest_fence)
