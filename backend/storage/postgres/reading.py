"""Reading events and messages, as the JSON objects the API answers with."""

from typing import Final

from backend.errors import Gone, NotFound
from backend.storage import rows
from backend.storage.postgres.conversations import check, check_cursor
from backend.storage.postgres.engine import Db
from backend.storage.records import EventFilter, Reader

_PLACE: Final = "m." + rows.MESSAGE_ORDER.replace(", ", ", m.")
_BACKWARDS: Final = rows.MESSAGE_ORDER.replace(",", " DESC,") + " DESC"


async def events(db: Db, reader: Reader, id_: str, wanted: EventFilter) -> list[bytes]:
    """List events ascending by position."""
    await check_cursor(db, reader, id_, wanted.after)
    clauses, values = "", [reader.tenant, id_, wanted.after, wanted.limit]
    for clause, value in (
        ("e.session_number =", wanted.session),
        ("e.at_ms >=", wanted.from_ms),
        ("e.at_ms <=", wanted.to_ms),
    ):
        if value is not None:
            values.append(value)
            clauses += f" AND {clause} ${len(values)}"
    if wanted.kinds:
        values.append(list(wanted.kinds))
        clauses += f" AND e.kind = ANY(${len(values)})"
    found = await db.fetch(
        f"SELECT {rows.EVENT} FROM events e WHERE e.tenant = $1"  # noqa: S608 - constants
        f" AND e.conversation_id = $2 AND e.position > $3{clauses} ORDER BY e.position LIMIT $4",
        *values,
    )
    return rows.events(id_, found)


async def messages(db: Db, reader: Reader, id_: str, last: int, before: str | None) -> list[bytes]:
    """List the ``last`` messages before one, oldest first, in conversation order."""
    await check(db, reader, id_)
    place = rows.NO_MESSAGE if before is None else await _place(db, reader.tenant, id_, before)
    found = await db.fetch(
        f"SELECT {rows.EVENT} FROM"  # noqa: S608 - constants
        f" (SELECT tenant, conversation_id, position, {rows.MESSAGE_ORDER}"
        " FROM messages WHERE tenant = $1 AND conversation_id = $2"
        f" AND ({rows.MESSAGE_ORDER}) < ($4, $5, $6, $7, $8)"
        f" ORDER BY {_BACKWARDS} LIMIT $3) m JOIN events e USING"
        f" (tenant, conversation_id, position) ORDER BY {_PLACE}",
        reader.tenant,
        id_,
        last,
        *place,
    )
    return rows.events(id_, found)


async def _place(db: Db, tenant: str, id_: str, event_id: str) -> rows.Row:
    """Find a message's place in the conversation order."""
    row: rows.Row | None = await db.fetchrow(
        f"SELECT {_PLACE} FROM event_ids i"  # noqa: S608 - constants
        " JOIN events e USING (tenant, conversation_id, position)"
        " JOIN messages m USING (tenant, conversation_id, session_number, fence, position)"
        " WHERE i.tenant = $1 AND i.conversation_id = $2 AND i.event_id = $3",
        tenant,
        id_,
        event_id,
    )
    if row is None:
        await _tell_pruned(db, tenant, id_, event_id)
        raise NotFound("unknown_message", "before: no such message in this conversation")
    return row


async def _tell_pruned(db: Db, tenant: str, id_: str, event_id: str) -> None:
    """Raise Gone for a message that was here and has been pruned."""
    pruned = await db.fetchval(
        "SELECT c.pruned_position FROM event_ids i JOIN conversations c ON c.tenant = i.tenant"
        " AND c.id = i.conversation_id WHERE i.tenant = $1 AND i.conversation_id = $2"
        " AND i.event_id = $3 AND i.position BETWEEN 1 AND c.pruned_position"
        " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.tenant = i.tenant"
        " AND e.conversation_id = i.conversation_id AND e.position = i.position)",
        tenant,
        id_,
        event_id,
    )
    if pruned is not None:
        raise Gone(pruned)
