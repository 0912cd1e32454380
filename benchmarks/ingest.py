"""The backend's batches over HTTP against its bare database.

    python -m benchmarks.ingest [--quick]

Four connections, each with a conversation of its own, store the events of real turns, 50 in a
request; then the same requests again, as after a lost answer. ``bare`` writes the very same rows
with the same keys, hashes and durability (SQLite, synchronous=FULL) into an empty database of the
same schema: one connection, a transaction for each 50 events, no HTTP, no JSON, no checks. Client
and server share the machine's cores; bare has one to itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from backend.storage.sqlite.engine import connect
from backend.storage.sqlite.migrate import migrate
from backend_client import BackendClient, backend_http
from benchmarks import machine
from benchmarks.figures import Figure, conclude, median, parser
from benchmarks.memory import talk
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.server import Place, clean_environment
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.codec import encode_event, instant
from voice_agent.state.ports import Registration
from voice_agent.state.store import Store, StoreEvents

CONNECTIONS = 4
BATCH = 50
Row = tuple[Any, ...]  # Any: columns of SQLite


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One writer and what it sends."""

    conversation_id: ConversationId
    writer_id: WriterId
    batches: Sequence[Sequence[bytes]]


def recorded(count: int) -> list[bytes]:
    """Return ``count`` encoded events of turns: start, what was said, answer, end."""
    events: list[Event] = []
    store = Store(
        outbox=None,
        conversation=Conversation(),
        limits=WindowLimits(),
        events=StoreEvents(degraded=lambda _: None, dropped=lambda _: None, trimmed=lambda _: None),
    )
    recorder = Recorder(store=store, clock=SystemClock(), new_id=new_id, on_recorded=events.append)
    number = 0
    while len(events) < count:
        talk(recorder, number)
        number += 1
    return [encode_event(event) for event in events[:count]]


async def lane(client: BackendClient, batch_count: int) -> Lane:
    """Register a writer of a new conversation."""
    found = await client.resolve_conversation(new_id())
    writer_id = WriterId(new_id())
    started_at = instant(datetime.now(UTC))
    await client.register_writer(
        found.conversation_id, Registration(writer_id=writer_id, started_at=started_at)
    )
    events = recorded(batch_count * BATCH)
    batches = [events[n : n + BATCH] for n in range(0, len(events), BATCH)]
    return Lane(conversation_id=found.conversation_id, writer_id=writer_id, batches=batches)


async def send(client: BackendClient, lanes: Iterable[Lane]) -> float:
    """Send everything, one batch at a time on each connection; return the seconds."""

    async def send_one(one: Lane) -> None:
        for batch in one.batches:
            await client.store_events(one.conversation_id, one.writer_id, batch)

    began = time.perf_counter()
    await asyncio.gather(*(send_one(one) for one in lanes))
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What one batch became."""

    ids: list[Row]
    events: list[Row]
    messages: list[Row]
    turns: list[Row]


def rows_of(db: sqlite3.Connection, one: Lane) -> list[Rows]:
    """Read back what the batches of ``one`` became."""

    def read(sql: str, first: int) -> list[Row]:
        where = " WHERE conversation_id = ? AND position BETWEEN ? AND ?"
        return db.execute(sql + where, (one.conversation_id, first, first + BATCH - 1)).fetchall()

    return [
        Rows(
            ids=read("SELECT * FROM event_ids", first),
            events=read("SELECT * FROM events", first),
            messages=read("SELECT * FROM messages", first),
            turns=read(
                "SELECT DISTINCT turns.* FROM turns JOIN messages"
                " USING (tenant, conversation_id, turn_id)",
                first,
            ),
        )
        for first in range(1, len(one.batches) * BATCH + 1, BATCH)
    ]


def write_bare(path: Path, lanes: Sequence[Lane], rows: Sequence[Sequence[Rows]]) -> float:
    """Write the same rows into an empty database; return the seconds."""
    with closing(connect(path)) as db:
        migrate(db)
        began = time.perf_counter()
        for batches in zip(*rows, strict=True):  # by turns, as they came from four connections
            for one, batch in zip(lanes, batches, strict=True):
                write_batch(db, one, batch)
        return time.perf_counter() - began


def write_batch(db: sqlite3.Connection, one: Lane, batch: Rows) -> None:
    """Write one batch in one transaction, with the hash of each event."""
    db.execute("BEGIN IMMEDIATE")
    hashed = [
        (*row[:3], hashlib.sha256(event[-1]).digest(), row[4])
        for row, event in zip(batch.ids, batch.events, strict=True)
    ]
    db.executemany(f"INSERT INTO event_ids VALUES ({marks(5)})", hashed)
    db.executemany(f"INSERT INTO events VALUES ({marks(10)})", batch.events)
    db.executemany(f"INSERT INTO messages VALUES ({marks(9)})", batch.messages)
    db.executemany(f"INSERT OR REPLACE INTO turns VALUES ({marks(7)})", batch.turns)
    where = "WHERE tenant = 'local' AND conversation_id = ? AND writer_id = ?"
    db.execute(
        f"UPDATE writers SET acknowledged = acknowledged + ? {where}",
        (BATCH, one.conversation_id, one.writer_id),
    )
    db.execute(
        "UPDATE conversations SET version = version + ? WHERE tenant = 'local' AND id = ?",
        (len(batch.turns), one.conversation_id),
    )
    db.execute("COMMIT")


def marks(count: int) -> str:
    """Return that many question marks."""
    return ", ".join("?" * count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a round took, in seconds; ``cpu``: of processors, which other programs disturb less."""

    first_s: float
    again_s: float
    bare_s: float
    first_cpu_s: float
    bare_cpu_s: float


async def one_round(backend: Backend, folder: Path, batch_count: int) -> Taken:
    """Send, send again, and write the same rows into the bare database."""
    server = psutil.Process(backend.pid)

    def spent() -> float:
        return float(sum(server.cpu_times()[:2]))

    async with backend_http(url=backend.url, token=backend.token, timeout_s=20.0) as http:
        client = BackendClient(http, timeout_s=20.0)
        lanes = [await lane(client, batch_count) for _ in range(CONNECTIONS)]
        before = spent()
        first_s = await send(client, lanes)
        first_cpu_s = spent() - before
        again_s = await send(client, lanes)
    with closing(sqlite3.connect(backend.database)) as db:
        rows = [rows_of(db, one) for one in lanes]
    assert sum(len(batch.events) for of in rows for batch in of) == (
        CONNECTIONS * batch_count * BATCH
    )
    before = time.process_time()
    bare_s = write_bare(folder / f"{new_id()}.db", lanes, rows)
    return Taken(
        first_s=first_s,
        again_s=again_s,
        bare_s=bare_s,
        first_cpu_s=first_cpu_s,
        bare_cpu_s=time.process_time() - before,
    )


def main() -> int:
    """Run the program."""
    args = parser("The backend over HTTP against its bare database.").parse_args()
    rounds, batch_count = (1, 2) if args.quick else (5, 40)
    ports = Ports()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        folder = Path(name)
        place = Place(folder=folder, environ=clean_environment())
        with Backend(place, port=ports.free(), metrics_port=ports.free()) as backend:
            asyncio.run(one_round(backend, folder, 2))  # warm
            taken = []
            for _ in range(rounds):
                machine.wait_quiet(args.patience_s)
                taken.append(asyncio.run(one_round(backend, folder, batch_count)))
    events = CONNECTIONS * batch_count * BATCH
    first_s, bare_s = median([t.first_s for t in taken]), median([t.bare_s for t in taken])
    again_ms = median([t.again_s for t in taken]) / batch_count * 1e3
    cpu_us, bare_us = (
        median(values) / events * 1e6
        for values in ([t.first_cpu_s for t in taken], [t.bare_cpu_s for t in taken])
    )
    figures = [
        Figure(
            name="events a second, ours / bare database",
            value=median([t.bare_s / t.first_s for t in taken]),
            at_least=0.5,
            detail=f"{events / first_s:.0f} / {events / bare_s:.0f}",
        ),
        Figure(
            name="a known batch again / the first time",
            value=median([t.again_s / t.first_s for t in taken]),
            at_most=0.6,
            detail=f"{again_ms:.1f} / {first_s / batch_count * 1e3:.1f} ms",
        ),
        Figure(
            name="CPU of an event, bare database / server",
            value=bare_us / cpu_us,
            detail=f"{bare_us:.1f} / {cpu_us:.1f} us",
        ),
    ]
    return conclude(f"Ingest ({machine.described()})", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
