"""The backend's batches over HTTP against its bare database.

    python -m benchmarks.ingest [--postgres] [--quick]

Four connections, each with a conversation of its own, store the events of real turns, 50 in a
request; then the same requests again, as after a lost answer. ``bare`` writes the very same rows
with the same keys, hashes and durability into an empty database of the same schema
(``benchmarks.bare``), after the search index has been filled, which happens beside the requests.
Client, server and PostgreSQL share the machine's cores; bare SQLite has one to itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import psutil

from backend_client import BackendClient, backend_http
from benchmarks import bare, machine
from benchmarks.bare import BATCH, Lane
from benchmarks.figures import Figure, conclude, median, parser
from benchmarks.memory import talk
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Place, clean_environment
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.events import Event
from voice_agent.domain.ids import WriterId
from voice_agent.state.codec import encode_event, instant
from voice_agent.state.ports import Registration
from voice_agent.state.store import Store, StoreEvents

CONNECTIONS = 4
INDEXED_S = 30.0


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
class Bare:
    """What the bare database took, in seconds."""

    taken_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a round took, in seconds; ``cpu``: of processors, which other programs disturb less."""

    first_s: float
    again_s: float
    first_cpu_s: float
    bare: dict[str, Bare]


class Bench:
    """A backend and its database."""

    def __init__(self, place: Place, *, on_postgres: bool) -> None:
        ports = Ports()
        self._folder = place.folder
        self._postgres = PostgresServer(place, port=ports.free()) if on_postgres else None
        self.backend = Backend(
            place, port=ports.free(), metrics_port=ports.free(), postgres=self._postgres
        )
        self._started = ExitStack()

    def __enter__(self) -> Self:
        if self._postgres is not None:
            self._started.enter_context(self._postgres)
        self._started.enter_context(self.backend)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._started.close()

    def cpu_s(self) -> float:
        """What backend and PostgreSQL have spent so far."""
        spent = sum(psutil.Process(self.backend.pid).cpu_times()[:2])
        if self._postgres is not None:
            whole = psutil.Process(self._postgres.pid)
            spent += sum(whole.cpu_times()[:4])  # with those of its processes that have ended
            for one in whole.children():
                with suppress(psutil.NoSuchProcess):
                    spent += sum(one.cpu_times()[:2])
        return float(spent)

    async def bare(self, lanes: Sequence[Lane]) -> dict[str, Bare]:
        """Write the same rows into an empty database, in each way there is, by its name."""
        if self._postgres is None:
            return self._bare_sqlite(lanes)
        db = await asyncpg.connect(self._postgres.url)
        try:
            rows = [await bare.rows_in_postgres(db, one) for one in lanes]
        finally:
            await db.close()
        check(lanes, rows)
        found = {}
        for name, way in bare.WAYS.items():
            url = await asyncio.to_thread(self._postgres.create_database, new_id())
            before = self.cpu_s() + time.process_time()
            taken_s = await bare.write_postgres(url, way, lanes, rows)
            spent_s = self.cpu_s() + time.process_time() - before
            found[name] = Bare(taken_s=taken_s, cpu_s=spent_s)
        return found

    def _bare_sqlite(self, lanes: Sequence[Lane]) -> dict[str, Bare]:
        with closing(sqlite3.connect(self.backend.database)) as db:
            rows = [bare.rows_of(db, one) for one in lanes]
        check(lanes, rows)
        found = {}
        for name, way in bare.SQLITE_WAYS.items():
            before = time.process_time()
            taken_s = bare.write_sqlite(self._folder / f"{new_id()}.db", way, lanes, rows)
            found[name] = Bare(taken_s=taken_s, cpu_s=time.process_time() - before)
        return found

    def wait_indexed(self) -> None:
        """Wait until the search index is filled, or it would work beside the bare database."""
        waiting = "SELECT count(*) FROM search_state WHERE up_to > indexed"
        deadline = time.monotonic() + INDEXED_S
        while time.monotonic() < deadline:
            if self._postgres is not None:
                count = int(self._postgres.ask(waiting))
            else:
                with closing(sqlite3.connect(self.backend.database)) as db:
                    (count,) = db.execute(waiting).fetchone()
            if not count:
                return
            time.sleep(0.2)


def check(lanes: Sequence[Lane], rows: Sequence[Sequence[bare.Rows]]) -> None:
    """Make sure that everything that was sent is there."""
    sent = sum(len(batch) for one in lanes for batch in one.batches)
    assert sum(len(batch.events) for of in rows for batch in of) == sent


async def one_round(bench: Bench, batch_count: int) -> Taken:
    """Send, send again, and write the same rows into the bare database."""
    backend = bench.backend

    async with backend_http(url=backend.url, token=backend.token, timeout_s=20.0) as http:
        client = BackendClient(http, timeout_s=20.0)
        lanes = [await lane(client, batch_count) for _ in range(CONNECTIONS)]
        before = bench.cpu_s()
        first_s = await send(client, lanes)
        first_cpu_s = bench.cpu_s() - before
        again_s = await send(client, lanes)
    await asyncio.to_thread(bench.wait_indexed)
    bare_ = await bench.bare(lanes)
    return Taken(first_s=first_s, again_s=again_s, first_cpu_s=first_cpu_s, bare=bare_)


def main() -> int:
    """Run the program."""
    arguments = parser("The backend over HTTP against its bare database.")
    arguments.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    args = arguments.parse_args()
    rounds, batch_count = (1, 2) if args.quick else (7, 40)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        place = Place(folder=Path(name), environ=clean_environment())
        with Bench(place, on_postgres=args.postgres) as bench:
            asyncio.run(one_round(bench, 2))  # warm
            taken = []
            for _ in range(rounds):
                machine.wait_quiet(args.patience_s)
                taken.append(asyncio.run(one_round(bench, batch_count)))
    events = CONNECTIONS * batch_count * BATCH
    took_s = {way: median([t.bare[way].taken_s for t in taken]) for way in taken[0].bare}
    fastest = min(took_s, key=lambda way: took_s[way])
    first_s, bare_s = median([t.first_s for t in taken]), took_s[fastest]
    again_ms = median([t.again_s for t in taken]) / batch_count * 1e3
    cpu_us, bare_us = (
        median(values) / events * 1e6
        for values in ([t.first_cpu_s for t in taken], [t.bare[fastest].cpu_s for t in taken])
    )
    figures = [
        Figure(
            name="events a second, ours / bare database",
            value=median([t.bare[fastest].taken_s / t.first_s for t in taken]),
            at_least=0.5,
            detail=f"{events / first_s:.0f} / {events / bare_s:.0f} (bare: {fastest})",
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
    database = "PostgreSQL" if args.postgres else "SQLite"
    return conclude(f"Ingest into {database} ({machine.described()})", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
