"""Many replicas write one conversation at once, and connections die under them.

Whatever hypothesis lets them do at the same time: no gap, no duplicate, no session number twice,
and a reader that follows the positions misses nothing.
"""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.clock import new_id
from backend.errors import Unavailable
from backend.rules.events import check_batch
from backend.settings import Settings
from backend.storage.choice import open_storage
from backend.storage.ports import Storage
from backend.storage.records import Batch, EventFilter, NewWriter, Reader, Token, WriterEnd
from devtools.ports import Ports
from devtools.servers.postgres import PostgresServer
from tests.backend.log_client import Json, event, message
from tests.support.databases import Database
from tests.support.servers import place_in

P = ParamSpec("P")
T = TypeVar("T")

NOW = 1_795_233_600_000
TENANT = "races"
BY = Token(token_id="t", tenant=TENANT, scope="admin", expires_ms=None)
READER = Reader(tenant=TENANT)
REPLICAS = {"sqlite": 1, "postgres": 10}
"""SQLite belongs to one backend; PostgreSQL to as many as there are."""
ANSWERED_S = 60.0
OURS = "datname = current_database() AND application_name = 'throughline-backend'"


@dataclass(frozen=True)
class Send:
    """A writer sends a batch: so many new events, and so many of those before once more.

    ``times``: the relay gave up waiting and sent it again elsewhere, so it comes more than once
    at the same time. ``passing``: its events are shown and not kept.
    """

    new: int
    again: int
    times: int = 1
    passing: bool = False


Step = Send | str
PLANS = st.lists(
    st.lists(
        st.one_of(
            st.builds(
                Send,
                new=st.integers(0, 6),
                again=st.integers(0, 4),
                times=st.integers(1, 3),
                passing=st.booleans(),
            ),
            st.sampled_from(["clear", "clear again", "register again", "end"]),
        ),
        min_size=1,
        max_size=8,
    ),
    min_size=2,
    max_size=12,
)
MANY = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
BUSY: list[list[Step]] = [[Send(new=5, again=2, times=2)] * 8 + ["clear"] for _ in range(10)]


@asynccontextmanager
async def replicas(address: str, count: int) -> AsyncIterator[list[Storage]]:
    """Open as many storages as there are replicas, all at once."""
    chosen = Settings(database_url=address, database_connections=2, database_timeout_s=20.0)
    opened = [open_storage(chosen) for _ in range(count)]
    await asyncio.gather(*(one.open() for one in opened))
    try:
        yield opened
    finally:
        for one in opened:
            await one.close()


@dataclass
class Race:
    """One conversation and everything that was answered about it.

    ``is_calm``: nobody is killed, so nobody may be refused.
    """

    is_calm: bool
    id: str = ""
    positions: dict[str, int] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    sessions: dict[str, int] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    overtakes: bool = False
    ended: set[str] = field(default_factory=set)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def insist(self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Repeat a call until it is answered, as every client of ours does."""
        async with asyncio.timeout(ANSWERED_S):
            while True:
                try:
                    return await call(*args, **kwargs)
                except Unavailable:
                    if self.is_calm:
                        raise
                    await asyncio.sleep(0.01)

    async def follow(self, storage: Storage) -> list[int]:
        """Read on after the last position seen, until everything is written."""
        seen: list[int] = []
        while True:
            ending = self.written.is_set()
            wanted = EventFilter(after=seen[-1] if seen else 0, limit=50)
            page = await self.insist(storage.events, READER, self.id, wanted)
            seen += [msgspec.json.decode(one)["position"] for one in page]
            if ending and not page:
                return seen
            await asyncio.sleep(0.001)

    async def check(self, storage: Storage) -> int:
        """Compare what is there with what was answered; return the last position."""
        wanted = EventFilter(after=0, limit=100_000)
        page = await self.insist(storage.events, READER, self.id, wanted)
        there: list[Json] = [msgspec.json.decode(one) for one in page]
        by_id = {one["event_id"]: one["position"] for one in there}
        assert [one["position"] for one in there] == list(range(1, len(there) + 1))
        assert len(by_id) == len(there)
        assert self.sent <= by_id.keys()
        assert self.positions.items() <= by_id.items()
        assert sum(one["kind"] == "call_ended" for one in there) == len(self.ended)
        assert sorted(self.sessions.values()) == list(range(1, len(self.sessions) + 1))
        assert len(set(self.fences.values())) == len(self.fences)
        shown = await self.insist(storage.conversation, READER, self.id, now_ms=NOW)
        assert shown.session_number == len(self.sessions)
        assert shown.last_position == len(there)
        assert shown.missing == ()
        ends = sum(one["kind"] == "turn_ended" for one in there)
        if self.ended or self.overtakes:  # what came for a turn after its end counts as well
            assert shown.version >= ends
        else:
            assert shown.version == ends
        return shown.last_position


class Writer:
    """One writer on one replica; what it repeats may reach another one."""

    def __init__(self, race: Race, storages: list[Storage], name: str) -> None:
        self.race = race
        self.storage, *self.elsewhere = storages
        self.name = name
        self.made: list[Json] = []
        self.last_clear = new_id()

    async def run(self, steps: list[Step]) -> None:
        """Do what is planned, each step until it is answered."""
        await self.register()
        for step in steps:
            match step:
                case Send():
                    await self.send(step)
                case "register again":
                    await self.register()
                case "end":
                    await self.end()
                case _:
                    self.last_clear = self.last_clear if step == "clear again" else new_id()
                    await self.clear(self.last_clear)

    async def register(self) -> None:
        """Register, or ask again for the fence."""
        new = NewWriter(
            writer_id=self.name,
            kind="call",
            room=None,
            job_id=None,
            started_ms=NOW,
            claimed_fence=None,
        )
        done = await self.race.insist(
            self.storage.register, TENANT, self.race.id, new, lease_s=1, now_ms=NOW
        )
        assert self.race.fences.setdefault(self.name, done.fence) == done.fence

    async def send(self, step: Send) -> None:
        """Send old events again, and new ones, in batches that overtake each other."""
        again = self.made[len(self.made) - step.again :] if step.again <= len(self.made) else []
        new = [self.next_event(passing=step.passing) for _ in range(step.new)]
        half = len(new) // 2
        whole = [[*again, *new]] if step.new < 4 else [[*again, *new[:half]], new[half:]]
        self.race.overtakes |= len(whole) > 1
        everywhere = itertools.cycle([self.storage, *self.elsewhere])
        stored = await asyncio.gather(
            *(self.deliver(next(everywhere), batch) for batch in whole * step.times)
        )
        assert max(stored) == len(self.made)

    async def deliver(self, storage: Storage, events: list[Json]) -> int:
        """Deliver one batch; return what is acknowledged."""
        batch = Batch(
            conversation_id=self.race.id,
            writer_id=self.name,
            events=check_batch(self.race.id, self.name, events),
            passing=frozenset({"agent_state"}),
        )
        stored = await self.race.insist(storage.store_events, TENANT, batch, now_ms=NOW)
        for one, position in zip(events, stored.positions, strict=True):
            if one["kind"] == "agent_state":
                assert position == 0
            else:
                self.race.sent.add(one["event_id"])
                assert self.race.positions.setdefault(one["event_id"], position) == position
        return stored.acknowledged

    def next_event(self, *, passing: bool) -> Json:
        """Make the next event of a turn of four, or one that is not kept."""
        n = len(self.made) + 1
        if passing:
            self.made.append(event(n, "agent_state", event_id=f"{self.name}-{n}"))
            return self.made[-1]
        ids = {"event_id": f"{self.name}-{n}", "turn_id": f"{self.name}-t{(n - 1) // 4}"}
        match n % 4:
            case 1:
                made = event(n, "turn_started", **ids)
            case 0:
                made = event(n, "turn_ended", outcome="completed", **ids)
            case _:
                made = message(n, "user" if n % 4 == 2 else "assistant", **ids)
        self.made.append(made)
        return made

    async def clear(self, event_id: str) -> None:
        """Begin a new session, or ask again about one."""
        done = await self.race.insist(
            self.storage.clear, TENANT, self.race.id, event_id=event_id, reason=None, now_ms=NOW
        )
        assert self.race.sessions.setdefault(event_id, done.session_number) == done.session_number
        assert self.race.positions.setdefault(event_id, done.position) == done.position

    async def end(self) -> None:
        """End; what comes later is accepted all the same."""
        end = WriterEnd(reason="left", at_ms=NOW, last_ordinal=None)
        await self.race.insist(
            self.storage.end_writer, TENANT, self.race.id, self.name, end, now_ms=NOW
        )
        self.race.ended.add(self.name)


async def run_race(
    storages: list[Storage], plans: list[list[Step]], *, is_calm: bool = False
) -> None:
    """Let all writers loose at once, read along, and check what they leave."""
    race, key = Race(is_calm=is_calm), new_id()
    resolved = await asyncio.gather(
        *(race.insist(one.resolve, BY, key, max_gap_s=None, now_ms=NOW) for one in storages)
    )
    assert len({conversation.id for conversation, _ in resolved}) == 1
    race.id = resolved[0][0].id
    writers = []
    for n in range(len(plans)):
        writers.append(Writer(race, storages, f"w{n}"))
        storages = [*storages[1:], storages[0]]
    async with asyncio.TaskGroup() as reading:
        readers = [reading.create_task(race.follow(one)) for one in storages[:2]]
        async with asyncio.TaskGroup() as writing:
            for writer, plan in zip(writers, plans, strict=True):
                writing.create_task(writer.run(plan))
        race.written.set()
    last = await race.check(storages[-1])
    for reader in readers:
        assert reader.result() == list(range(1, last + 1))


def test_writers_on_ten_replicas_leave_no_gap_and_no_duplicate(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Clears, ends, resends and registrations among them; SQLite has one backend."""
    address = database.address(Path(tmp_path_factory.mktemp("races")))

    @MANY
    @given(PLANS)
    def holds(plans: list[list[Step]]) -> None:
        async def run() -> None:
            async with replicas(address, REPLICAS[database.kind]) as storages:
                await run_race(storages, plans, is_calm=True)

        asyncio.run(run())

    holds()


async def kill(
    address: str, rounds: int, how: Callable[[asyncpg.Connection], Awaitable[int]]
) -> int:
    """Kill connections that are in mid-work, again and again; return how many there were."""
    killed = 0
    while killed < rounds:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            admin = await asyncpg.connect(address)
            try:
                while killed < rounds:
                    killed += await how(admin)
                    await asyncio.sleep(0.005)
            finally:
                admin.terminate()
        await asyncio.sleep(0.01)
    return killed


async def terminated(admin: asyncpg.Connection) -> int:
    """End one connection in mid-statement or mid-transaction, as an operator or failover does."""
    found = await admin.fetch(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
        " AND state <> 'idle' ORDER BY random() LIMIT 1"
    )
    return len(found)


async def killed_9(admin: asyncpg.Connection) -> int:
    """Kill a server process: PostgreSQL ends every other one too, and recovers."""
    found = await admin.fetch(
        f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND state <> 'idle' LIMIT 1"
    )
    for row in found:
        os.kill(row["pid"], signal.SIGKILL)
    return len(found)


async def run_killed(
    address: str, rounds: int, how: Callable[[asyncpg.Connection], Awaitable[int]]
) -> None:
    async with replicas(address, 4) as storages:
        killing = asyncio.create_task(kill(address, rounds, how))
        while not killing.done():
            await run_race(storages, BUSY)
        assert await killing == rounds


async def test_connections_killed_in_mid_transaction_leave_no_gap_and_no_duplicate(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """A lost answer is repeated: what was stored is found, what was not is stored."""
    await run_killed(postgres.create_database("killed"), 100, terminated)


async def test_a_server_killed_in_mid_transaction_leaves_no_gap_and_no_duplicate(
    tmp_path: Path, ports: Ports
) -> None:
    server = PostgresServer(place_in(tmp_path), port=ports.free(), durable=False)
    await asyncio.to_thread(server.start)
    try:
        await run_killed(server.url, 4, killed_9)
    finally:
        await asyncio.to_thread(server.stop)
