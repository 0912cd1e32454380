"""Forgetting old events."""

from backend.rules.retention import FOR_GOOD, Held, Keep, prunable
from backend.rules.rows import Head
from backend.storage import rows
from backend.storage.postgres import search
from backend.storage.postgres.engine import Db
from backend.storage.postgres.heads import lock, owner


async def candidates(
    db: Db, keep: Keep, after: tuple[str, str], limit: int
) -> list[tuple[str, str]]:
    """List conversations that may hold too much, ascending by (tenant, id)."""
    most, since_ms = rows.limits(keep)
    found = await db.fetch(
        "SELECT tenant, id FROM conversations WHERE (tenant, id) > ($1, $2)"
        " AND last_position > pruned_position"
        " AND (last_position - pruned_position > $3 OR created_ms < $4)"
        " ORDER BY tenant, id LIMIT $5",
        *after,
        most,
        since_ms,
        limit,
    )
    return [(tenant, id_) for tenant, id_ in found]


async def prune(db: Db, tenant: str, id_: str, keep: Keep, now_ms: int, limit: int) -> int:
    """Forget up to ``limit`` events, oldest first."""
    head = await lock(db, tenant, id_)
    pruned = await db.fetchval(
        "SELECT pruned_position FROM conversations WHERE tenant = $1 AND id = $2", tenant, id_
    )
    live = await owner(db, tenant, id_, now_ms)
    held = Held(
        last=head.last_position,
        first_young=await _first_young(db, head, keep),
        running_from=await _running_from(db, head) if live else None,
    )
    up_to = prunable(keep, held)
    going = await db.fetch(
        "SELECT position FROM events WHERE tenant = $1 AND conversation_id = $2"
        " AND position > $3 AND position <= $4 AND kind <> ALL($5::text[])"
        " AND position <> coalesce((SELECT max(position) FROM events WHERE tenant = $1"
        " AND conversation_id = $2 AND kind = 'state_changed'), 0)"
        " ORDER BY position LIMIT $6",
        tenant,
        id_,
        pruned,
        up_to,
        sorted(FOR_GOOD),
        limit,
    )
    if not going:
        return 0
    await search.hold(db, tenant, id_)
    gone = [position for (position,) in going]
    for table in ("search_docs", "messages", "events"):
        await db.execute(
            f"DELETE FROM {table} WHERE tenant = $1 AND conversation_id = $2"  # noqa: S608
            " AND position = ANY($3)",
            tenant,
            id_,
            gone,
        )
    await db.execute(
        "UPDATE conversations SET pruned_position = greatest(pruned_position, $3)"
        " WHERE tenant = $1 AND id = $2",
        tenant,
        id_,
        gone[-1] if len(gone) == limit else up_to,
    )
    return len(gone)


async def _first_young(db: Db, head: Head, keep: Keep) -> int | None:
    if keep.since_ms is None:
        return None
    found: int | None = await db.fetchval(
        "SELECT position FROM events WHERE tenant = $1 AND conversation_id = $2 AND at_ms >= $3"
        " ORDER BY position LIMIT 1",
        head.tenant,
        head.id,
        keep.since_ms,
    )
    return found


async def _running_from(db: Db, head: Head) -> int:
    """Find where the session began: no event of it is stored before its clear."""
    found: int | None = await db.fetchval(
        "SELECT position FROM events WHERE tenant = $1 AND conversation_id = $2"
        " AND kind = 'context_cleared' AND session_number = $3",
        head.tenant,
        head.id,
        head.session_number,
    )
    return found or 1
