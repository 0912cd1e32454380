"""Search: what it costs those who write, and what it saves those who ask.

    python -m benchmarks.search [--postgres] [--quick]

Writing: four writers store batches of 50 messages; *on*: the index job of the backend runs beside
them; *off*: nothing is indexed. Asking: the newest 20 messages of a conversation of 10,000 beside
other conversations of as many, by search and by LIKE over the same stored messages, newest first,
on the same connection.

The queries are of four kinds, as many of each: a word that nearly every message has, a word of
every twentieth, a word of about five messages, and one of these together with one that all have.
Each query is asked both ways in several rounds; its figure is the median of its rounds, because on
a busy machine a single one measures who else wanted the processor. The p99 is that of the queries.
"""

from __future__ import annotations

import asyncio
import functools
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import asyncpg

from backend.clock import new_id
from backend.jobs import supervised
from backend.rules.events import check_batch
from backend.rules.words import asked
from backend.service.indexing import index
from backend.settings import Settings
from backend.storage.choice import open_storage
from backend.storage.ports import Storage
from backend.storage.postgres import search as postgres_search
from backend.storage.records import Batch, NewWriter, Reader, Token
from backend.storage.sqlite import search as sqlite_search
from backend.storage.sqlite.engine import connect
from benchmarks import machine, samples
from benchmarks.figures import Figure, conclude, median, parser, percentile
from devtools.ports import Ports
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Place, clean_environment

MESSAGES = 10_000
ROUNDS = 5
ACME = Token(token_id="t", tenant="acme", scope="admin", expires_ms=None)
READER = Reader(tenant="acme")
ALL_SAY, SOME_SAY, FEW_SAY, BOTH = "word of all", "of every 20th", "of five", "two words"
Look = Callable[[str, str], Awaitable[object]]
"""Look in a conversation for the words of a query."""


async def stored(storage: Storage, texts: Sequence[str], per_batch: int = 50) -> str:
    """Store messages in a new conversation; return its id."""
    found, _ = await storage.resolve(ACME, new_id(), max_gap_s=None, now_ms=1)
    writer = NewWriter(
        writer_id="w", kind="call", room=None, job_id=None, started_ms=1, claimed_fence=None
    )
    await storage.register("acme", found.id, writer, lease_s=1, now_ms=1)
    for start in range(0, len(texts), per_batch):
        chosen = enumerate(texts[start : start + per_batch], start + 1)
        events = check_batch(found.id, "w", [_message(n, text) for n, text in chosen])
        batch = Batch(conversation_id=found.id, writer_id="w", events=events)
        await storage.store_events("acme", batch, now_ms=1)
    return found.id


def _message(ordinal: int, text: str) -> dict[str, object]:
    at = "2026-11-21T04:00:00.123Z"
    return {
        **{"v": 1, "event_id": new_id(), "ordinal": ordinal, "kind": "message", "at": at},
        **{"role": "user", "text": text},
    }


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Storage]:
    """Open a database, as the backend does."""
    storage = open_storage(Settings(database_url=address))
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Seconds until everything was stored, and until everything could be found."""

    stored_s: float
    found_s: float


async def filling(address: str, texts: Sequence[str], *, indexed: bool) -> Filled:
    """Let four writers write, with the index filled beside them or without."""
    note = sqlite_search.note if indexed else _nothing
    with patch.object(sqlite_search, "note", note):
        async with opened(address) as storage, supervised(drain_s=10) as jobs:
            if indexed:
                jobs.start("index", functools.partial(index, storage))
            began = time.perf_counter()
            await asyncio.gather(*(stored(storage, texts) for _ in range(4)))
            stored_s = time.perf_counter() - began
            while indexed and await storage.index_messages(limit=1_000):
                pass
            return Filled(stored_s=stored_s, found_s=time.perf_counter() - began)


def _nothing(*_: object) -> None:
    """Take no note: search off."""


def writing_figures(new_database: Callable[[], str], *, quick: bool) -> list[Figure]:
    """Measure what search costs those who write."""
    rng = random.Random(3)
    texts = [samples.text(700, rng) for _ in range(100 if quick else 2_000)]
    ratios, with_index = [], []
    for _ in range(1 if quick else ROUNDS):
        off = asyncio.run(filling(new_database(), texts, indexed=False))
        on = asyncio.run(filling(new_database(), texts, indexed=True))
        ratios.append(on.stored_s / off.stored_s)
        with_index.append(on)
    count = 4 * len(texts)
    stored_s, found_s = (
        median([getattr(one, name) for one in with_index]) for name in ("stored_s", "found_s")
    )
    return [
        Figure(
            name="batches of 50 messages, search on / off",
            value=median(ratios),
            at_most=1.5,
            detail=f"{min(ratios):.2f} to {max(ratios):.2f}; a second: {count / stored_s:.0f}"
            f" stored, {count / found_s:.0f} to be found",
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Something that is asked."""

    kind: str
    words: str


def asked_for(count: int, rng: random.Random) -> tuple[list[str], list[Query]]:
    """Make the messages and the queries."""
    texts = [
        f"{samples.text(300, rng)} s{rng.randrange(20)}x f{rng.randrange(2_000)}x"
        for _ in range(MESSAGES)
    ]
    queries = []
    for _ in range(count // 4):
        said = rng.choice(texts).split()
        all_say, some_say, few_say = rng.choice(said[:-3]), said[-2], said[-1]  # the last is cut
        queries += [
            Query(kind=ALL_SAY, words=all_say),
            Query(kind=SOME_SAY, words=some_say),
            Query(kind=FEW_SAY, words=few_say),
            Query(kind=BOTH, words=f"{all_say} {rng.choice([some_say, few_say])}"),
        ]
    return texts, queries


@dataclass(slots=True, kw_only=True)
class Looked:
    """Seconds of each round of one query, ours and by LIKE."""

    kind: str
    ours: list[float] = field(default_factory=list)
    like: list[float] = field(default_factory=list)


async def compared(id_: str, queries: Sequence[Query], ours: Look, like: Look) -> list[Looked]:
    """Ask each query both ways, in rounds; which way comes first changes."""
    looked = [Looked(kind=query.kind) for query in queries]
    for turn in range(ROUNDS):
        for query, one in zip(queries, looked, strict=True):
            ways = [(ours, one.ours), (like, one.like)]
            for look, took in ways if turn % 2 else reversed(ways):
                began = time.perf_counter()
                await look(id_, query.words)
                took.append(time.perf_counter() - began)
    return looked


@asynccontextmanager
async def on_sqlite(address: str) -> AsyncIterator[tuple[Look, Look]]:
    """Look into a file."""
    with closing(connect(Path(address.removeprefix("sqlite:///")))) as db:

        async def ours(id_: str, words: str) -> object:
            return sqlite_search.find(db, READER, id_, asked(words), 20)

        async def like(id_: str, words: str) -> object:
            return by_like(db, id_, words.split())

        yield ours, like


def by_like(db: sqlite3.Connection, id_: str, words: Sequence[str]) -> list[object]:
    """Find the newest 20 messages by LIKE."""
    has = " AND CAST(body AS TEXT) LIKE ?" * len(words)
    return db.execute(
        "SELECT body FROM events WHERE tenant = 'acme' AND conversation_id = ?"
        f" AND kind = 'message'{has} ORDER BY position DESC LIMIT 20",
        (id_, *(f"%{word}%" for word in words)),
    ).fetchall()


@asynccontextmanager
async def on_postgres(address: str) -> AsyncIterator[tuple[Look, Look]]:
    """Look into PostgreSQL."""
    db: Any = await asyncpg.connect(address, server_settings={"jit": "off"})  # Any: no types
    try:
        await db.execute("VACUUM ANALYZE")

        async def ours(id_: str, words: str) -> object:
            return await postgres_search.find(db, READER, id_, asked(words), 20)

        async def like(id_: str, words: str) -> object:
            wanted = [f"%{word}%" for word in words.split()]
            marks = range(2, len(wanted) + 2)
            has = "".join(f" AND convert_from(body, 'UTF8') LIKE ${n}" for n in marks)
            return await db.fetch(
                "SELECT body FROM events WHERE tenant = 'acme' AND conversation_id = $1"
                f" AND kind = 'message'{has} ORDER BY position DESC LIMIT 20",
                id_,
                *wanted,
            )

        yield ours, like
    finally:
        await db.close()


async def asking_figures(address: str, *, quick: bool) -> list[Figure]:
    """Measure what search saves those who ask."""
    texts, queries = asked_for(40 if quick else 800, random.Random(7))
    async with opened(address) as storage:
        id_ = await stored(storage, texts)
        for _ in range(1 if quick else 4):
            await stored(storage, texts)
        while await storage.index_messages(limit=1_000):
            pass
    begun = [Query(kind=query.kind, words=query.words[:-1]) for query in queries]
    looking = on_postgres if address.startswith("postgres") else on_sqlite
    async with looking(address) as (ours, like):
        whole = await compared(id_, queries, ours, like)
        return [
            against_like(f"20 of {MESSAGES} messages, p99, search / LIKE", whole, at_most=0.2),
            against_like(
                "the same for beginnings of words", await compared(id_, begun, ours, like)
            ),
        ]


def against_like(name: str, looked: Sequence[Looked], *, at_most: float | None = None) -> Figure:
    """Compare the slowest queries of each way, and show the median of each kind."""
    ours, like = ([median(getattr(one, way)) for one in looked] for way in ("ours", "like"))
    kinds = []
    for kind in (ALL_SAY, SOME_SAY, FEW_SAY, BOTH):
        of = [n for n, one in enumerate(looked) if one.kind == kind]
        middle = [median([took[n] for n in of]) * 1e3 for took in (ours, like)]
        kinds.append(f"{kind} {middle[0]:.2f} / {middle[1]:.2f}")
    slow_ours, slow_like = percentile(ours, 0.99), percentile(like, 0.99)
    return Figure(
        name=name,
        value=slow_ours / slow_like,
        at_most=at_most,
        detail=f"{slow_ours * 1e3:.2f} / {slow_like * 1e3:.2f} ms; medians {', '.join(kinds)}",
    )


def main() -> int:
    """Run the program."""
    arguments = parser("What search costs and saves.")
    arguments.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    args = arguments.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-"))
        )  # a real disk
        new_database = functools.partial(_file, folder)
        if args.postgres:
            place = Place(folder=folder, environ=clean_environment())
            server = stack.enter_context(PostgresServer(place, port=Ports().free()))
            new_database = functools.partial(_database, server)
        machine.wait_quiet(args.patience_s)
        figures = asyncio.run(asking_figures(new_database(), quick=args.quick))
        machine.wait_quiet(args.patience_s)
        figures += writing_figures(new_database, quick=args.quick)
    database = "PostgreSQL" if args.postgres else "SQLite"
    return conclude(f"Search on {database} ({machine.described()})", figures, strict=args.strict)


def _file(folder: Path) -> str:
    return f"sqlite:///{folder / new_id()}.db"


def _database(server: PostgresServer) -> str:
    return server.create_database(new_id())


if __name__ == "__main__":
    sys.exit(main())
