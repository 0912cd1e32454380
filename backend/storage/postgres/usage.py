"""What models used up: added up with the events that say so, read per call and in all."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from backend.errors import Malformed
from backend.rules.usage import Spent, shown
from backend.storage.postgres import conversations
from backend.storage.postgres.engine import Db
from backend.storage.records import CallUsage, ConversationUsage, Reader

ADD: Final = """INSERT INTO usage (tenant, conversation_id, writer_id, service, provider, model,
        count, amount)
    SELECT $1, $2, $3, u.* FROM {source}unnest(
        ${0}::text[], ${1}::text[], ${2}::text[], ${3}::text[], ${4}::float8[]
    ) AS u
    ON CONFLICT (tenant, conversation_id, writer_id, service, provider, model, count)
    DO UPDATE SET amount = usage.amount + excluded.amount"""
"""Adds to what a writer has spent. The first three parameters: tenant, conversation, writer."""


def columns(spent: Spent) -> list[Sequence[Any]]:
    """List the parameters of ``ADD``. Sorted: two that add to the same rows take turns."""
    rows = sorted((*count, amount) for count, amount in spent.items())
    return [[row[column] for row in rows] for column in range(5)]


async def add(db: Db, place: tuple[str, str, str], spent: Spent) -> None:
    """Add to what a writer has spent. ``place``: tenant, conversation, writer."""
    await db.execute(ADD.format(*range(4, 9), source=""), *place, *columns(spent))


async def read(
    db: Db, reader: Reader, id_: str, limit: int, after: str | None
) -> ConversationUsage:
    """Read a conversation's sums, and those of its calls, newest first."""
    await conversations.check(db, reader, id_)
    place = (reader.tenant, id_)
    total = await db.fetch(
        "SELECT service, provider, model, count, sum(amount) FROM usage"
        " WHERE tenant = $1 AND conversation_id = $2 GROUP BY service, provider, model, count",
        *place,
    )
    calls = await db.fetch(
        "SELECT writer_id, room, started_ms FROM writers w"
        " WHERE tenant = $1 AND conversation_id = $2 AND fence < $3 AND EXISTS (SELECT FROM usage u"
        " WHERE u.tenant = w.tenant AND u.conversation_id = w.conversation_id"
        " AND u.writer_id = w.writer_id) ORDER BY fence DESC LIMIT $4",
        *place,
        await _before(db, place, after),
        limit,
    )
    spent: dict[str, list[Any]] = defaultdict(list)
    for writer_id, *row in await db.fetch(
        "SELECT writer_id, service, provider, model, count, amount FROM usage"
        " WHERE tenant = $1 AND conversation_id = $2 AND writer_id = ANY($3)",
        *place,
        [row[0] for row in calls],
    ):
        spent[writer_id].append(tuple(row))
    return ConversationUsage(
        items=shown(tuple(row) for row in total),
        calls=[
            CallUsage(
                writer_id=writer_id,
                room=room,
                started_ms=started_ms,
                items=shown(spent[writer_id]),
            )
            for writer_id, room, started_ms in calls
        ],
    )


async def _before(db: Db, place: tuple[str, str], after: str | None) -> int:
    """Find the fence that a page begins below."""
    if after is None:
        return 2**62
    fence = await db.fetchval(
        "SELECT fence FROM writers WHERE tenant = $1 AND conversation_id = $2 AND writer_id = $3",
        *place,
        after,
    )
    if fence is None:
        raise Malformed("unknown_cursor", "after: not a cursor of this list")
    return int(fence)
