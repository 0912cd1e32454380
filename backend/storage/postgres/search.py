"""The words of messages, in a GIN index. The index is a copy: the log can fill it again."""

from collections.abc import Iterable, Sequence

from backend.storage import rows
from backend.storage.ports import CATCH_UP, COMPARED
from backend.storage.postgres.conversations import check
from backend.storage.postgres.engine import Db
from backend.storage.records import Hit, Reader


async def index_some(db: Db, limit: int) -> int:
    """Index messages among ``limit`` events of one conversation; say how many were looked at."""
    row = await db.fetchrow(
        "SELECT tenant, conversation_id FROM search_state WHERE up_to > indexed LIMIT 1"
    )
    return await index(db, row[0], row[1], limit) if row else 0


async def is_behind(db: Db, reader: Reader, id_: str) -> bool:
    """Say whether messages of a conversation wait for the index; raise NotFound."""
    await check(db, reader, id_)
    return await _behind(db, reader.tenant, id_) is not None


async def index(db: Db, tenant: str, id_: str, limit: int = CATCH_UP) -> int:
    """Index the messages of a conversation that wait, among its next ``limit`` events.

    Nobody who writes or reads waits for it: pruning alone does, and whoever indexes the same.
    """
    await hold(db, tenant, id_)
    behind = await _behind(db, tenant, id_)
    if behind is None:
        return 0
    up_to, indexed = behind
    until = min(up_to, indexed + limit)
    found = await db.fetch(
        "SELECT position, body FROM events WHERE tenant = $1 AND conversation_id = $2"
        " AND position > $3 AND position <= $4 AND kind = 'message'",
        tenant,
        id_,
        indexed,
        until,
    )
    mark = rows.search_mark(tenant, id_)
    await db.execute(
        "INSERT INTO search_docs (tenant, conversation_id, position, words)"
        " SELECT $1, $2, n.position, n.words::tsvector"
        " FROM unnest($3::bigint[], $4::text[]) AS n (position, words)"
        " ON CONFLICT (tenant, conversation_id, position) DO NOTHING",
        tenant,
        id_,
        [position for position, _ in found],
        [_vector(mark, rows.words_in(body)) for _, body in found],
    )
    await db.execute(
        "UPDATE search_state SET indexed = $3"
        " WHERE tenant = $1 AND conversation_id = $2 AND indexed < $3",
        tenant,
        id_,
        until,
    )
    return int(until - indexed)


async def hold(db: Db, tenant: str, id_: str) -> None:
    """Hold the index of a conversation, to the end of the transaction.

    What is indexed must not be pruned meanwhile: its words would stay for good.
    """
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{tenant} {id_}")


def _vector(mark: str, words: Iterable[str]) -> str:
    """Write a tsvector: words are letters and digits only, so nothing needs quotes."""
    return " ".join(mark + word for word in words)


async def _behind(db: Db, tenant: str, id_: str) -> rows.Row | None:
    row: rows.Row | None = await db.fetchrow(
        "SELECT up_to, indexed FROM search_state"
        " WHERE tenant = $1 AND conversation_id = $2 AND up_to > indexed",
        tenant,
        id_,
    )
    return row


async def find(db: Db, reader: Reader, id_: str, words: Sequence[str], limit: int) -> list[Hit]:
    """Find messages with all ``words``: the best of the newest ``COMPARED``."""
    await check(db, reader, id_)
    mark = rows.search_mark(reader.tenant, id_)
    whole = " & ".join(mark + word for word in words)
    count = max(limit, COMPARED)
    found = await _matching(db, reader.tenant, id_, whole, count)
    if len(found) < count:  # beginnings cost more: only where whole words find too little
        found = await _matching(db, reader.tenant, id_, f"{whole}:*", count)
    return rows.hits(id_, found, words, limit)


async def _matching(db: Db, tenant: str, id_: str, words: str, count: int) -> Sequence[rows.Row]:
    """Read the newest messages that match."""
    found: Sequence[rows.Row] = await db.fetch(
        f"SELECT {rows.EVENT} FROM (SELECT tenant, conversation_id, position"  # noqa: S608
        " FROM search_docs WHERE words @@ $3::tsquery AND tenant = $1 AND conversation_id = $2"
        " ORDER BY position DESC LIMIT $4) h"
        " JOIN events e USING (tenant, conversation_id, position) ORDER BY position DESC",
        tenant,
        id_,
        words,
        count,
    )
    return found
