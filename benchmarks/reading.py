"""Following a conversation live, and searching it.

    python -m benchmarks.reading [--quick]

Live: from the moment a writer sends an event to the moment a reader has it, over HTTP on one
host; then a thousand readers of the same conversation. Search: the newest or best 20 of 10,000
messages against LIKE over the same rows, and batches stored while the index is filled beside
them against batches stored without it. Readers, writer and backend share the machine's cores.
"""

from __future__ import annotations

import asyncio
import functools
import random
import re
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from unittest.mock import patch
from urllib.parse import urlsplit

from backend.jobs import supervised
from backend.rules.events import check_batch
from backend.rules.words import asked
from backend.service.indexing import index
from backend.storage.records import Batch, NewWriter, Reader, Token
from backend.storage.sqlite import search
from backend.storage.sqlite.engine import connect
from backend.storage.sqlite.store import SqliteStorage
from backend_client import BackendClient, backend_http
from benchmarks import machine, samples
from benchmarks.figures import Figure, conclude, median, parser, percentile
from benchmarks.ingest import lane, recorded
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.server import Place, clean_environment
from voice_agent.aio.clock import new_id

MANY = 1_000
MESSAGES = 10_000
WRITES_PER_S = 20.0
_BLOCK = re.compile(rb"^id: (\d+)$", re.MULTILINE)
ACME = Token(token_id="t", tenant="acme", scope="admin", expires_ms=None)


@dataclass(slots=True)
class StreamReader:
    """One reader: a bare socket, so that reading costs as little as it can."""

    arrived: dict[int, float] = field(default_factory=dict)
    writer: asyncio.StreamWriter | None = None

    async def open(self, url: str, path: str, token: str) -> Self:
        """Ask for the stream; it is open when this returns."""
        at = urlsplit(url)
        self._reader, self.writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.writer.write(head.encode())
        status = await self._reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in status.split(b"\r\n")[0], status
        return self

    async def run(self) -> None:
        """Note when each position arrives."""
        while data := await self._reader.read(65_536):
            now = time.perf_counter()
            for found in _BLOCK.findall(data):
                self.arrived.setdefault(int(found), now)

    _reader: asyncio.StreamReader = field(init=False)


async def delays(backend: Backend, reader_count: int, writes: int) -> list[float]:
    """Return the seconds from writing to reading, of every event at every reader."""
    async with (
        backend_http(url=backend.url, token=backend.token, timeout_s=20.0) as http,
        asyncio.TaskGroup() as group,
        AsyncExitStack() as stack,
    ):
        client = BackendClient(http, timeout_s=20.0)
        one = await lane(client, 1)
        path = f"/v1/conversations/{one.conversation_id}/events/stream"
        readers = []
        for _ in range(reader_count):
            reader = await StreamReader().open(backend.url, path, backend.token)
            stack.callback(group.create_task(reader.run()).cancel)
            readers.append(reader)
        sent = []
        for event in recorded(writes):
            sent.append(time.perf_counter())
            await client.store_events(one.conversation_id, one.writer_id, [event])
            await asyncio.sleep(1 / WRITES_PER_S)
        deadline = time.perf_counter() + 10
        while min(len(each.arrived) for each in readers) < writes:
            assert time.perf_counter() < deadline, "events are missing"
            await asyncio.sleep(0.02)
        for each in readers:
            if each.writer is not None:
                each.writer.close()
    return [each.arrived[n] - at for each in readers for n, at in enumerate(sent, 1)]


async def stored(storage: SqliteStorage, texts: Sequence[str], per_batch: int = 50) -> str:
    """Store messages in a new conversation; return its id."""
    found, _ = await storage.resolve(ACME, new_id(), max_gap_s=None, now_ms=1)
    writer = NewWriter(
        writer_id="w", kind="call", room=None, job_id=None, started_ms=1, claimed_fence=None
    )
    await storage.register("acme", found.id, writer, lease_s=1, now_ms=1)
    for start in range(0, len(texts), per_batch):
        events = check_batch(found.id, "w", [_message(n, texts[n]) for n in
                             range(start, min(start + per_batch, len(texts)))])  # fmt: skip
        batch = Batch(conversation_id=found.id, writer_id="w", events=events)
        await storage.store_events("acme", batch, now_ms=1)
    return found.id


def _message(number: int, text: str) -> dict[str, object]:
    at = "2026-11-21T04:00:00.123Z"
    return {
        **{"v": 1, "event_id": new_id(), "ordinal": number + 1, "kind": "message", "at": at},
        **{"role": "user", "text": text},
    }


async def filling(folder: Path, texts: Sequence[str], *, indexed: bool) -> float:
    """Return the seconds that four writers take, with the index filled beside them or without."""
    storage = SqliteStorage(folder / f"{new_id()}.db")
    await storage.open()
    try:
        async with supervised(drain_s=10) as jobs:
            if indexed:
                jobs.start("index", functools.partial(index, storage))
            began = time.perf_counter()
            with patch.object(search, "note", search.note if indexed else _nothing):
                await asyncio.gather(*(stored(storage, texts) for _ in range(4)))
            return time.perf_counter() - began
    finally:
        await storage.close()


def _nothing(*_: object) -> None:
    """Take no note: search off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Seconds of each search, ours and by LIKE."""

    ours: list[float]
    like: list[float]


async def looking(folder: Path, queries: int) -> tuple[Looked, Looked]:
    """Search one conversation among others: by whole words, common and rare; by beginnings."""
    rng = random.Random(7)
    texts = [f"{samples.text(300, rng)} n{rng.randrange(2_000)}x" for _ in range(MESSAGES)]
    storage = SqliteStorage(folder / "search.db")
    await storage.open()
    id_ = await stored(storage, texts)
    for _ in range(4):
        await stored(storage, texts[: MESSAGES // 4])
    while await storage.index_messages(limit=1_000):
        pass
    await storage.close()
    said = [text.split() for text in texts]  # the last but one is cut: no whole word
    whole = [rng.choice(words[:-2] + words[-1:] * 20) for words in rng.choices(said, k=queries)]
    with closing(connect(folder / "search.db")) as db:
        return compared(db, id_, whole), compared(db, id_, [word[:-1] for word in whole])


def compared(db: sqlite3.Connection, id_: str, queries: Sequence[str]) -> Looked:
    """Look for each, both ways."""
    ours, like = [], []
    for word in queries:
        began = time.perf_counter()
        search.find(db, Reader(tenant="acme"), id_, asked(word) or ("a",), 20)
        middle = time.perf_counter()
        by_like(db, id_, word)
        ours.append(middle - began)
        like.append(time.perf_counter() - middle)
    return Looked(ours=ours, like=like)


def by_like(db: sqlite3.Connection, id_: str, word: str) -> list[object]:
    """Find the newest 20 messages by LIKE."""
    return db.execute(
        "SELECT body FROM events WHERE tenant = 'acme' AND conversation_id = ?"
        " AND kind = 'message' AND CAST(body AS TEXT) LIKE ? ORDER BY position DESC LIMIT 20",
        (id_, f"%{word}%"),
    ).fetchall()


def live_figures(folder: Path, *, quick: bool) -> list[Figure]:
    """Measure the live streams."""
    ports = Ports()
    place = Place(folder=folder, environ=clean_environment())
    made = []
    with Backend(place, port=ports.free(), metrics_port=ports.free()) as backend:
        asyncio.run(delays(backend, 1, 5))  # warm
        plan = ((1, 300), (MANY, 100)) if not quick else ((1, 20), (50, 10))
        for count, writes in plan:
            took = asyncio.run(delays(backend, count, writes))
            made.append(
                Figure(
                    name=f"write to reader, p99, {count} reader(s) of one conversation, ms",
                    value=percentile(took, 0.99) * 1e3,
                    at_most=50 if count == 1 else None,
                    detail=f"median {median(took) * 1e3:.1f} ms; {WRITES_PER_S:.0f} a second",
                )
            )
    return made


def search_figures(folder: Path, *, quick: bool) -> list[Figure]:
    """Measure search."""
    rng = random.Random(3)
    texts = [samples.text(700, rng) for _ in range(100 if quick else 2_000)]
    ratios, with_index = [], []
    for _ in range(1 if quick else 5):
        off = asyncio.run(filling(folder, texts, indexed=False))
        on = asyncio.run(filling(folder, texts, indexed=True))
        ratios.append(on / off)
        with_index.append(on)
    whole, begun = asyncio.run(looking(folder, 50 if quick else 1_000))
    per_s = 4 * len(texts) / median(with_index)
    return [
        Figure(
            name="batches of 50 messages, search on / off",
            value=median(ratios),
            at_most=1.5,
            detail=f"{min(ratios):.2f} to {max(ratios):.2f}; {per_s:.0f} messages a second",
        ),
        against_like(f"20 of {MESSAGES} messages, p99, search / LIKE", whole, at_most=0.2),
        against_like("the same for beginnings of words", begun),
    ]


def against_like(name: str, looked: Looked, *, at_most: float | None = None) -> Figure:
    """Compare the slowest of each way."""
    ours, like = percentile(looked.ours, 0.99), percentile(looked.like, 0.99)
    return Figure(
        name=name,
        value=ours / like,
        at_most=at_most,
        detail=f"{ours * 1e3:.2f} / {like * 1e3:.2f} ms; median"
        f" {median(looked.ours) * 1e3:.2f} / {median(looked.like) * 1e3:.2f} ms",
    )


def main() -> int:
    """Run the program."""
    args = parser("Following a conversation live, and searching it.").parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        machine.wait_quiet(args.patience_s)
        figures = live_figures(Path(name), quick=args.quick)
        machine.wait_quiet(args.patience_s)
        figures += search_figures(Path(name), quick=args.quick)
    return conclude(f"Reading ({machine.described()})", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
