"""The rows of a batch written straight into a database: what the backend is measured against.

The same rows, keys, hashes and durability, a transaction for each batch; no HTTP, no JSON, no
checks. SQLite: one connection, because it has one writer, and of two ways to write a batch (a row
or 25 in a statement) whichever was faster. PostgreSQL: a connection for each of the backend's, and
of three ways (a statement for each table with arrays, COPY, executemany) whichever was fastest.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import asyncpg

from backend.storage.postgres.migrate import migrate as migrate_postgres
from backend.storage.sqlite.engine import connect
from backend.storage.sqlite.migrate import migrate
from voice_agent.domain.ids import ConversationId, WriterId

BATCH = 50
Row = tuple[Any, ...]  # Any: columns of a database
Db = Any
"""A connection of asyncpg, which has no types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One writer and what it sends."""

    conversation_id: ConversationId
    writer_id: WriterId
    batches: Sequence[Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What one batch became: the rows of each table."""

    event_ids: list[Row]
    events: list[Row]
    messages: list[Row]
    turns: list[Row]

    def hashed(self) -> list[Row]:
        """Return the rows of ``event_ids`` with each event hashed anew."""
        return [
            (*row[:3], hashlib.sha256(event[-1]).digest(), row[4])
            for row, event in zip(self.event_ids, self.events, strict=True)
        ]


TURNS = "SELECT DISTINCT turns.* FROM turns JOIN messages USING (tenant, conversation_id, turn_id)"


def rows_of(db: sqlite3.Connection, one: Lane) -> list[Rows]:
    """Read back what the batches of ``one`` became in SQLite."""

    def read(sql: str, first: int) -> list[Row]:
        where = " WHERE conversation_id = ? AND position BETWEEN ? AND ?"
        return db.execute(sql + where, (one.conversation_id, first, first + BATCH - 1)).fetchall()

    return [
        Rows(
            event_ids=read("SELECT * FROM event_ids", first),
            events=read("SELECT * FROM events", first),
            messages=read("SELECT * FROM messages", first),
            turns=read(TURNS, first),
        )
        for first in range(1, len(one.batches) * BATCH + 1, BATCH)
    ]


InsertMany = Callable[[sqlite3.Connection, str, Sequence[Row]], None]


def one_by_one(db: sqlite3.Connection, into: str, rows: Sequence[Row]) -> None:
    """Insert rows with a statement for one."""
    if rows:
        db.executemany(f"{into} VALUES ({_marks(len(rows[0]))})", rows)


def many_at_once(db: sqlite3.Connection, into: str, rows: Sequence[Row]) -> None:
    """Insert rows with a statement for 25, the fastest number here."""
    for start in range(0, len(rows), 25):
        part = rows[start : start + 25]
        marks = ", ".join([f"({_marks(len(part[0]))})"] * len(part))
        db.execute(f"{into} VALUES {marks}", tuple(chain.from_iterable(part)))


SQLITE_WAYS: dict[str, InsertMany] = {"one by one": one_by_one, "many at once": many_at_once}


def write_sqlite(
    path: Path, way: InsertMany, lanes: Sequence[Lane], rows: Sequence[Sequence[Rows]]
) -> float:
    """Write the same rows into an empty file; return the seconds."""
    with closing(connect(path)) as db:
        migrate(db)
        for one in lanes:
            place = {"id": one.conversation_id, "writer_id": one.writer_id}
            db.execute(HEAD.format(id=":id"), place)
            db.execute(WRITER.format(id=":id", writer_id=":writer_id"), place)
        began = time.perf_counter()
        for batches in zip(*rows, strict=True):  # by turns, as they came from four connections
            for one, batch in zip(lanes, batches, strict=True):
                _write_batch(db, way, one, batch)
        return time.perf_counter() - began


HEAD = (
    "INSERT INTO conversations (tenant, id, key, opened_by, created_ms, updated_ms)"
    " VALUES ('local', {id}, {id}, 'bench', 0, 0)"
)
WRITER = (
    "INSERT INTO writers (tenant, conversation_id, writer_id, fence, kind, started_ms,"
    " registered_ms, session_number, window_session)"
    " VALUES ('local', {id}, {writer_id}, 1, 'call', 0, 0, 0, 0)"
)
NOTE = (
    "INSERT INTO search_state (tenant, conversation_id, up_to) VALUES ('local', {id}, {up_to})"
    " ON CONFLICT (tenant, conversation_id) DO UPDATE SET up_to = excluded.up_to"
)


def _write_batch(db: sqlite3.Connection, way: InsertMany, one: Lane, batch: Rows) -> None:
    """Write one batch in one transaction, with the hash of each event."""
    db.execute("BEGIN IMMEDIATE")
    way(db, "INSERT INTO event_ids", batch.hashed())
    way(db, "INSERT INTO events", batch.events)
    way(db, "INSERT INTO messages", batch.messages)
    way(db, "INSERT OR REPLACE INTO turns", batch.turns)
    db.execute(NOTE.format(id="?", up_to="?"), (one.conversation_id, batch.events[-1][2]))
    where = "WHERE tenant = 'local' AND conversation_id = ? AND writer_id = ?"
    db.execute(
        f"UPDATE writers SET acknowledged = acknowledged + ? {where}",
        (BATCH, one.conversation_id, one.writer_id),
    )
    db.execute(
        "UPDATE conversations SET version = version + ?, last_position = last_position + ?"
        " WHERE tenant = 'local' AND id = ?",
        (len(batch.turns), BATCH, one.conversation_id),
    )
    db.execute("COMMIT")


def _marks(count: int) -> str:
    return ", ".join("?" * count)


async def rows_in_postgres(db: Db, one: Lane) -> list[Rows]:
    """Read back what the batches of ``one`` became in PostgreSQL."""

    async def read(sql: str, first: int) -> list[Row]:
        where = " WHERE conversation_id = $1 AND position BETWEEN $2 AND $3"
        found = await db.fetch(sql + where, one.conversation_id, first, first + BATCH - 1)
        return [tuple(row) for row in found]

    return [
        Rows(
            event_ids=await read("SELECT * FROM event_ids", first),
            events=await read("SELECT * FROM events", first),
            messages=await read("SELECT * FROM messages", first),
            turns=await read(TURNS, first),
        )
        for first in range(1, len(one.batches) * BATCH + 1, BATCH)
    ]


TYPES = {
    "event_ids": "text text text bytea bigint",
    "events": "text text bigint bigint text bigint bigint text bigint bytea",
    "messages": "text text bigint bigint bigint bigint bigint text bigint",
    "turns": "text text text text bigint bigint boolean",
}
AGAIN = {"turns": " ON CONFLICT (tenant, conversation_id, writer_id, turn_id) DO NOTHING"}
Insert = Callable[[Db, str, list[Row]], Awaitable[object]]


async def by_arrays(db: Db, table: str, rows: list[Row]) -> object:
    """Insert rows as one array for each column."""
    types = TYPES[table].split()
    arrays = ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(types, 1))
    columns = [[row[n] for row in rows] for n in range(len(types))]
    into = f"INSERT INTO {table} SELECT * FROM unnest({arrays}){AGAIN.get(table, '')}"
    return await db.execute(into, *columns)


async def by_copy(db: Db, table: str, rows: list[Row]) -> object:
    """Insert rows with COPY where none can be there already."""
    if table in AGAIN:
        return await by_arrays(db, table, rows)
    return await db.copy_records_to_table(table, records=rows)


async def by_many(db: Db, table: str, rows: list[Row]) -> object:
    """Insert row by row in one round trip."""
    marks = ", ".join(f"${n}" for n in range(1, len(TYPES[table].split()) + 1))
    return await db.executemany(f"INSERT INTO {table} VALUES ({marks}){AGAIN.get(table, '')}", rows)


WAYS: dict[str, Insert] = {"arrays": by_arrays, "copy": by_copy, "executemany": by_many}


async def write_postgres(
    url: str, way: Insert, lanes: Sequence[Lane], rows: Sequence[Sequence[Rows]]
) -> float:
    """Write the same rows into an empty database, a connection for each lane; return seconds."""
    connections = [await asyncpg.connect(url) for _ in lanes]
    try:
        await migrate_postgres(connections[0])
        await _make_heads(connections[0], lanes)
        began = time.perf_counter()
        await asyncio.gather(
            *(_write_lane(*each, way) for each in zip(connections, lanes, rows, strict=True))
        )
        return time.perf_counter() - began
    finally:
        for db in connections:
            await db.close()


async def _make_heads(db: Db, lanes: Sequence[Lane]) -> None:
    for one in lanes:
        await db.execute(HEAD.format(id="$1"), one.conversation_id)
        await db.execute(WRITER.format(id="$1", writer_id="$2"), one.conversation_id, one.writer_id)


async def _write_lane(db: Db, one: Lane, batches: Sequence[Rows], way: Insert) -> None:
    for batch in batches:
        async with db.transaction():
            await way(db, "event_ids", batch.hashed())
            await way(db, "events", batch.events)
            await way(db, "messages", batch.messages)
            await way(db, "turns", batch.turns)
            await db.execute(
                NOTE.format(id="$1", up_to="$2"), one.conversation_id, batch.events[-1][2]
            )
            await db.execute(
                "UPDATE writers SET acknowledged = acknowledged + $3"
                " WHERE tenant = 'local' AND conversation_id = $1 AND writer_id = $2",
                one.conversation_id,
                one.writer_id,
                BATCH,
            )
            await db.execute(
                "UPDATE conversations SET version = version + $2,"
                " last_position = last_position + $3 WHERE tenant = 'local' AND id = $1",
                one.conversation_id,
                len(batch.turns),
                BATCH,
            )
