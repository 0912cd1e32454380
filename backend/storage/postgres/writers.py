"""Writers: registration, lease, end."""

from backend.rules import fences, leases, turns
from backend.rules.own_events import call_ended
from backend.rules.rows import Head, WriterRow, previous_of
from backend.rules.usage import total
from backend.storage import rows
from backend.storage.postgres import usage
from backend.storage.postgres.engine import Db
from backend.storage.postgres.heads import (
    find_writer,
    insert_own,
    known_writer,
    lock,
    newest_session,
    owner,
    save,
)
from backend.storage.records import (
    Heartbeat,
    NewWriter,
    PreviousWriter,
    Registration,
    SilentWriter,
    Standing,
    WriterEnd,
)


async def register(
    db: Db, tenant: str, id_: str, writer: NewWriter, *, lease_ms: int, now_ms: int
) -> Registration:
    """Make a writer's fence final; a known writer gets the answer it got."""
    head = await lock(db, tenant, id_)
    head.session_number = max(head.session_number, await newest_session(db, head))
    holder = await owner(db, tenant, id_, now_ms)
    known = await find_writer(db, head, writer.writer_id)
    if known is None:
        fence, session = await _insert(db, head, writer, 0 if holder else now_ms + lease_ms, now_ms)
    else:
        fence, session = known.fence, known.session_number
    return Registration(
        fence=fence,
        session_number=head.session_number,
        version=head.version,
        owner=holder or await owner(db, tenant, id_, now_ms),
        created=known is None,
        previous=await _previous(db, head, fence),
        fence_session=session,
    )


async def _previous(db: Db, head: Head, fence: int) -> tuple[PreviousWriter, ...]:
    found = await db.fetch(
        "SELECT writer_id, fence, last_ordinal, acknowledged, ahead FROM writers"
        " WHERE tenant = $1 AND conversation_id = $2 AND fence < $3"
        " AND (last_ordinal > 0 OR acknowledged > 0 OR ahead <> '[]')"
        " ORDER BY fence DESC LIMIT 1",
        head.tenant,
        head.id,
        fence,
    )
    return previous_of(found)


async def _insert(
    db: Db, head: Head, writer: NewWriter, lease_until_ms: int, now_ms: int
) -> tuple[int, int]:
    used = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM writers"
        " WHERE tenant = $1 AND conversation_id = $2 AND fence = $3)",
        head.tenant,
        head.id,
        writer.claimed_fence,
    )
    fence = fences.grant(
        claimed=writer.claimed_fence,
        started_ms=writer.started_ms,
        highest=head.highest_fence,
        floor=head.floor_fence,
        is_used=lambda _: bool(used),
    )
    starts = [
        fences.SessionStart(number=number, after_fence=after)
        for number, after in await db.fetch(
            "SELECT number, after_fence FROM sessions WHERE tenant = $1 AND conversation_id = $2",
            head.tenant,
            head.id,
        )
    ]
    session = fences.session_at(fence, starts)
    await db.execute(
        "INSERT INTO writers (tenant, conversation_id, writer_id, fence, kind, room, job_id,"
        " started_ms, registered_ms, session_number, window_session, lease_until_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        head.tenant,
        head.id,
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
    )
    head.highest_fence = max(head.highest_fence, fence)
    await save(db, head, now_ms)
    return fence, session


async def renew(
    db: Db, tenant: str, id_: str, writer_id: str, beat: Heartbeat, *, now_ms: int
) -> Standing:
    """Extend a lease. The live holder wins: anyone else is refused until it ends or expires."""
    head = await lock(db, tenant, id_)
    writer = await known_writer(db, head, writer_id)
    holder = await owner(db, tenant, id_, now_ms)
    leases.check_renewal(writer, None if holder is None else (holder.writer_id, holder.fence))
    await db.execute(
        "UPDATE writers SET lease_until_ms = $4, beats = true, window_session = $5,"
        " last_ordinal = greatest(last_ordinal, $6)"
        " WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3",
        tenant,
        id_,
        writer_id,
        now_ms + round(beat.lease_s * 1000),
        leases.window_after(head, writer, beat.session_number),
        beat.last_ordinal,
    )
    return _standing(head)


async def end(
    db: Db, tenant: str, id_: str, writer_id: str, end: WriterEnd, *, now_ms: int
) -> Standing:
    """Close a writer: open turns first, then ``call_ended``. A second end changes nothing."""
    head = await lock(db, tenant, id_)
    writer = await known_writer(db, head, writer_id)
    if end.usage:
        await _add_usage(db, (tenant, id_, writer_id), end)
    if writer.ended:
        return _standing(head)
    await close_turns(db, head, writer, end.at_ms)
    await insert_own(db, head, call_ended(writer, end))
    await db.execute(
        "UPDATE writers SET ended_ms = $4, end_reason = $5, lease_until_ms = 0,"
        " last_ordinal = greatest(last_ordinal, $6)"
        " WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3",
        tenant,
        id_,
        writer_id,
        end.at_ms,
        end.reason,
        end.last_ordinal or 0,
    )
    await save(db, head, now_ms)
    return _standing(head)


async def _add_usage(db: Db, place: tuple[str, str, str], end: WriterEnd) -> None:
    """Add what the writer itself says at its end, once; it may have been ended as lost before."""
    told = await db.execute(
        "UPDATE writers SET usage_told = true"
        " WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3 AND NOT usage_told",
        *place,
    )
    if told == "UPDATE 1":
        await usage.add(db, place, total([end.usage]))


async def silent(
    db: Db, before_ms: int, after: tuple[str, str, str], limit: int
) -> list[SilentWriter]:
    """List open writers whose lease ran out before an instant, ascending by their names."""
    found = await db.fetch(
        f"SELECT {rows.SILENT} FROM writers"  # noqa: S608 - a constant
        " WHERE ended_ms IS NULL AND (tenant, conversation_id, writer_id) > ($1, $2, $3)"
        " AND lease_until_ms < $4 AND registered_ms < $4"
        " ORDER BY tenant, conversation_id, writer_id LIMIT $5",
        *after,
        before_ms,
        limit,
    )
    return [rows.silent(row) for row in found]


async def close_turns(db: Db, head: Head, writer: WriterRow, at_ms: int) -> None:
    """End the turns a dead writer left open: abandoned, each counted once."""
    left_open = await db.fetch(
        "UPDATE turns SET ended = true WHERE tenant = $1 AND conversation_id = $2"
        " AND writer_id = $3 AND NOT ended RETURNING started_ordinal, turn_id, session_number",
        head.tenant,
        head.id,
        writer.writer_id,
    )
    for _, turn_id, session in sorted(left_open, key=lambda row: row[0] or 0):
        await insert_own(db, head, turns.abandoned(writer, turn_id, session, at_ms))
        head.version += 1


def _standing(head: Head) -> Standing:
    return Standing(session_number=head.session_number, highest_fence=head.highest_fence)
