"""Storing a batch of events: the hot path of the whole program.

One statement reads all that the decision needs, one writes all that follows from it, and the
write does nothing unless the conversation's row is still the one that was read. So a batch costs
two round trips and the row's lock is held for one of them. Who was overtaken, and the rare batch
that changes more, goes the long way: lock the row, read, write (``store_locked``).
"""

from dataclasses import dataclass
from typing import Final

from backend.rules import batches, turns
from backend.rules.batches import Known, Placed
from backend.rules.events import Event
from backend.rules.ordinals import Received
from backend.rules.rows import Head, WriterRow, no_conversation, no_writer, text_of
from backend.rules.turns import Followed, Turn, Turns
from backend.rules.usage import total
from backend.storage import rows
from backend.storage.postgres import usage
from backend.storage.postgres.engine import Db
from backend.storage.postgres.heads import lock, save
from backend.storage.postgres.writers import close_turns
from backend.storage.records import Batch, Change, Standing, Stored

Answer = tuple[Stored, Change | None]
_HEAD_END: Final = rows.HEAD.count(",") + 1
_WRITER_END: Final = _HEAD_END + rows.WRITER.count(",") + 1
_HEAD_COLUMNS: Final = "c." + rows.HEAD.replace(", ", ", c.")
_WRITER_COLUMNS: Final = "w." + rows.WRITER.replace(", ", ", w.")

_READ: Final = f"""
SELECT {_HEAD_COLUMNS}, {_WRITER_COLUMNS},
    (SELECT array_agg(ROW(event_id, digest, position)) FROM event_ids
     WHERE tenant = $1 AND conversation_id = $2 AND event_id = ANY($4::text[])),
    (SELECT array_agg(ROW(turn_id, session_number, started_ordinal, ended)) FROM turns
     WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3
     AND turn_id = ANY($5::text[])),
    c.revision
FROM conversations c LEFT JOIN writers w
    ON w.tenant = c.tenant AND w.conversation_id = c.id AND w.writer_id = $3
WHERE c.tenant = $1 AND c.id = $2
"""  # noqa: S608 - constants

_STATEMENT: Final = """
WITH head AS (
    UPDATE conversations SET version = $4, last_position = $5,
        updated_ms = greatest(updated_ms, $6), revision = revision + 1
    WHERE tenant = $1 AND id = $2 AND revision = $7
    RETURNING id
), fresh AS MATERIALIZED (
    SELECT e.* FROM head, unnest(
        $14::text[], $15::bytea[], $16::bigint[], $17::bigint[], $18::text[], $19::bigint[],
        $20::bytea[], $8::bigint[]
    ) AS e (event_id, digest, session_number, ordinal, kind, at_ms, body, position)
), ids AS (
    INSERT INTO event_ids (tenant, conversation_id, event_id, digest, position)
    SELECT $1, $2, event_id, digest, position FROM fresh
), kept AS (
    INSERT INTO events (tenant, conversation_id, position, session_number, writer_id, fence,
        ordinal, kind, at_ms, body)
    SELECT $1, $2, position, session_number, $3, $9, ordinal, kind, at_ms, body FROM fresh
    WHERE position > 0
), said AS (
    INSERT INTO messages (tenant, conversation_id, session_number, fence, turn_ordinal,
        role_rank, ordinal, turn_id, position)
    SELECT $1, $2, m.* FROM head, unnest(
        $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::text[],
        $27::bigint[]
    ) AS m
), waiting AS (
    INSERT INTO search_state (tenant, conversation_id, up_to)
    SELECT $1, $2, max(m) FROM head, unnest($27::bigint[]) AS m HAVING max(m) IS NOT NULL
    ON CONFLICT (tenant, conversation_id) DO UPDATE SET up_to = excluded.up_to
), followed AS (
    INSERT INTO turns (tenant, conversation_id, writer_id, turn_id, session_number,
        started_ordinal, ended)
    SELECT $1, $2, $3, t.* FROM head, unnest(
        $10::text[], $11::bigint[], $12::bigint[], $13::boolean[]
    ) AS t
    ON CONFLICT (tenant, conversation_id, writer_id, turn_id) DO UPDATE
    SET started_ordinal = excluded.started_ordinal, ended = excluded.ended
){spent}
UPDATE writers SET acknowledged = $28, ahead = $29, window_session = greatest(window_session, $30)
FROM head WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3
"""
_WRITE: Final = _STATEMENT.format(spent="")
_SPENT: Final = usage.ADD.format(*range(31, 36), source="head, ")
_WRITE_SPENT: Final = _STATEMENT.format(spent=f", spent AS (\n    {_SPENT}\n)")
"""Only a batch that says what was used up pays for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be stored of a batch, decided on what was read."""

    head: Head
    writer: WriterRow
    known: Known
    placed: list[Placed]
    revision: int
    turns: Turns
    followed: Followed
    received: Received
    window_session: int

    @property
    def ends_turns(self) -> bool:
        """Whether this was the last that a dead writer had left: its open turns end with it."""
        return self.writer.ended and self.received.acknowledged >= self.writer.last_ordinal

    def answer(self, batch: Batch) -> Answer:
        """Say what became of the batch, and what followers are to hear of it."""
        stored = Stored(
            acknowledged=self.received.acknowledged,
            positions=batches.positions_of(batch.events, self.known, self.placed),
            standing=Standing(
                session_number=self.head.session_number, highest_fence=self.head.highest_fence
            ),
        )
        return stored, rows.change(self.head, self.writer, self.placed)


async def store_at_once(db: Db, tenant: str, batch: Batch, now_ms: int) -> Answer | None:
    """Store what is new of ``batch`` in one statement; None: go the long way."""
    plan = await _plan(db, tenant, batch)
    if not plan.placed:
        return plan.answer(batch)
    if plan.followed.late or plan.ends_turns:
        return None
    return plan.answer(batch) if await _write(db, plan, now_ms) else None


async def store_locked(db: Db, tenant: str, batch: Batch, now_ms: int) -> Answer:
    """Store what is new of ``batch`` while nobody else changes the conversation."""
    await lock(db, tenant, batch.conversation_id)
    plan = await _plan(db, tenant, batch)
    if plan.placed:
        await _write(db, plan, now_ms)
        for start in plan.followed.late:
            await _move_messages(db, plan, start)
        if plan.ends_turns:
            await close_turns(db, plan.head, plan.writer, now_ms)
            await save(db, plan.head, now_ms)
    return plan.answer(batch)


async def _plan(db: Db, tenant: str, batch: Batch) -> _Plan:
    """Read, and decide; raise Conflict when any of the batch clashes."""
    row = await db.fetchrow(
        _READ,
        tenant,
        batch.conversation_id,
        batch.writer_id,
        [event.event_id for event in batch.events],
        list({event.turn_id for event in batch.events if event.turn_id is not None}),
    )
    if row is None:
        raise no_conversation()
    head = rows.head(tenant, batch.conversation_id, row[:_HEAD_END])
    if row[_HEAD_END] is None:
        raise no_writer()
    writer = rows.writer(batch.writer_id, row[_HEAD_END:_WRITER_END])
    known = {id_: (digest, position) for id_, digest, position in row[_WRITER_END] or ()}
    held = {
        id_: Turn(session_number=session, started_ordinal=started, ended=ended)
        for id_, session, started, ended in row[_WRITER_END + 1] or ()
    }
    placed = batches.place(head, writer, known, batch.events, passing=batch.passing)
    followed = turns.follow(held, writer, batches.kept(placed))
    head.version += followed.counted
    received, window = writer.received, writer.window_session
    if placed:
        received, window = batches.received_with(writer, placed)
    return _Plan(
        head=head,
        writer=writer,
        known=known,
        placed=placed,
        revision=row[_WRITER_END + 2],
        turns={id_: turn for id_, turn in held.items() if turn.changed},
        followed=followed,
        received=received,
        window_session=window,
    )


async def _write(db: Db, plan: _Plan, now_ms: int) -> bool:
    """Store everything new; False: the conversation's row has changed, and nothing was stored."""
    head, writer, placed = plan.head, plan.writer, plan.placed
    changed = list(plan.turns.values())
    messages = batches.messages_of(writer, batches.kept(placed), plan.followed.started)
    spent = total(p.event.usage for p in placed if p.event.usage)
    status = await db.execute(
        _WRITE_SPENT if spent else _WRITE,
        head.tenant,
        head.id,
        writer.writer_id,
        head.version,
        head.last_position,
        now_ms,
        plan.revision,
        [p.position for p in placed],
        writer.fence,
        list(plan.turns),
        [turn.session_number for turn in changed],
        [turn.started_ordinal for turn in changed],
        [turn.ended for turn in changed],
        [p.event.event_id for p in placed],
        [p.event.digest for p in placed],
        [p.session_number for p in placed],
        [p.event.ordinal for p in placed],
        [p.event.kind for p in placed],
        [p.event.at_ms for p in placed],
        [p.event.body for p in placed],
        *([message[column] for message in messages] for column in range(7)),
        plan.received.acknowledged,
        text_of(plan.received.ahead),
        plan.window_session,
        *(usage.columns(spent) if spent else ()),
    )
    return bool(status == "UPDATE 1")


async def _move_messages(db: Db, plan: _Plan, start: Event) -> None:
    """Give messages that arrived before their turn's start the place they belong to."""
    await db.execute(
        "UPDATE messages SET turn_ordinal = $5 WHERE tenant = $1 AND conversation_id = $2"
        " AND fence = $3 AND turn_id = $4 AND turn_ordinal <> $5",
        plan.head.tenant,
        plan.head.id,
        plan.writer.fence,
        start.turn_id,
        start.ordinal,
    )
