"""Forgetting old events."""

import json
import sqlite3

from backend.rules.retention import FOR_GOOD, Held, Keep, prunable
from backend.storage import rows
from backend.storage.sqlite import search
from backend.storage.sqlite.rows import owner


def candidates(
    db: sqlite3.Connection, keep: Keep, after: tuple[str, str], limit: int
) -> list[tuple[str, str]]:
    """List conversations that may hold too much, ascending by (tenant, id)."""
    return db.execute(
        "SELECT tenant, id FROM conversations WHERE (tenant, id) > (?, ?)"
        " AND last_position > pruned_position"
        " AND (last_position - pruned_position > ? OR created_ms < ?)"
        " ORDER BY tenant, id LIMIT ?",
        (*after, *rows.limits(keep), limit),
    ).fetchall()


def prune(
    db: sqlite3.Connection, tenant: str, id_: str, keep: Keep, now_ms: int, limit: int
) -> int:
    """Forget up to ``limit`` events, oldest first."""
    place = (tenant, id_)
    row = db.execute(
        "SELECT last_position, session_number, pruned_position FROM conversations"
        " WHERE tenant = ? AND id = ?",
        place,
    ).fetchone()
    if row is None:
        return 0
    last, session, pruned = row
    held = Held(
        last=last,
        first_young=_first_young(db, place, keep),
        running_from=_running_from(db, place, session) if owner(db, *place, now_ms) else None,
    )
    up_to = prunable(keep, held)
    kinds = ", ".join("?" * len(FOR_GOOD))
    going = db.execute(
        "SELECT position, kind, body FROM events WHERE tenant = ? AND conversation_id = ?"  # noqa: S608
        f" AND position > ? AND position <= ? AND kind NOT IN ({kinds})"
        " AND position <> coalesce((SELECT max(position) FROM events WHERE tenant = ?"
        " AND conversation_id = ? AND kind = 'state_changed'), 0)"
        " ORDER BY position LIMIT ?",
        (*place, pruned, up_to, *sorted(FOR_GOOD), *place, limit),
    ).fetchall()
    if not going:
        return 0
    search.forget(
        db, place, [(position, body) for position, kind, body in going if kind == "message"]
    )
    for table in ("events", "messages"):  # one pass: messages have no index by position
        db.execute(
            f"DELETE FROM {table} WHERE tenant = ? AND conversation_id = ?"  # noqa: S608 - constants
            " AND position IN (SELECT value FROM json_each(?))",
            (*place, json.dumps([position for position, _, _ in going])),
        )
    until = going[-1][0] if len(going) == limit else up_to
    db.execute(
        "UPDATE conversations SET pruned_position = max(pruned_position, ?)"
        " WHERE tenant = ? AND id = ?",
        (until, *place),
    )
    return len(going)


def _first_young(db: sqlite3.Connection, place: tuple[str, str], keep: Keep) -> int | None:
    if keep.since_ms is None:
        return None
    row = db.execute(
        "SELECT position FROM events WHERE tenant = ? AND conversation_id = ? AND at_ms >= ?"
        " ORDER BY position LIMIT 1",
        (*place, keep.since_ms),
    ).fetchone()
    return row[0] if row else None


def _running_from(db: sqlite3.Connection, place: tuple[str, str], session: int) -> int:
    """Find where a session began: no event of it is stored before its clear."""
    row = db.execute(
        "SELECT position FROM events WHERE tenant = ? AND conversation_id = ?"
        " AND kind = 'context_cleared' AND session_number = ?",
        (*place, session),
    ).fetchone()
    return row[0] if row else 1
