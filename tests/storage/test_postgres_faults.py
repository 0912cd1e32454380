"""PostgreSQL that is silent, full, slow or about to end: one error of ours, within the deadline."""

import asyncio
import inspect
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from backend.clock import new_id
from backend.errors import BackendError, Malformed, Unavailable
from backend.rules.events import check_batch
from backend.rules.retention import Keep
from backend.storage.postgres.engine import FAILURES, translated
from backend.storage.postgres.store import PostgresStorage
from backend.storage.records import Batch, NewWriter, Reader, Token
from devtools.ports import Ports
from devtools.servers.postgres import PostgresServer
from tests.backend.log_client import message
from tests.support.servers import place_in
from tests.support.waiting import wait_for

NOW = 1_795_233_600_000
DEADLINE_S = 1.0
SLACK_S = 2.0
BY = Token(token_id="t", tenant="faults", scope="admin", expires_ms=None)


@pytest.fixture
def own_postgres(tmp_path: Path, ports: Ports) -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may break."""
    with PostgresServer(place_in(tmp_path), port=ports.free(), durable=False) as server:
        yield server


@asynccontextmanager
async def opened(url: str, *, connections: int = 4) -> AsyncIterator[PostgresStorage]:
    """A storage on a database."""
    storage = PostgresStorage(url, connections=connections, timeout_s=DEADLINE_S)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


def signal_all(server: PostgresServer, number: signal.Signals) -> None:
    """Send a signal to every process of a server."""
    whole = psutil.Process(server.pid)
    for one in [whole, *whole.children()]:
        os.kill(one.pid, number)


async def test_a_database_that_stops_answering_is_met_within_the_deadline_and_used_again(
    own_postgres: PostgresServer,
) -> None:
    async with opened(own_postgres.url) as storage:
        kept, _ = await storage.resolve(BY, "kept", max_gap_s=None, now_ms=NOW)
        signal_all(own_postgres, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answers = await asyncio.gather(
                *(storage.resolve(BY, new_id(), max_gap_s=None, now_ms=NOW) for _ in range(20)),
                storage.ping(),
                return_exceptions=True,
            )
            assert time.monotonic() - began < DEADLINE_S + SLACK_S
            assert {type(one) for one in answers} == {Unavailable}
        finally:
            signal_all(own_postgres, signal.SIGCONT)
        async with asyncio.timeout(10):
            while True:
                try:
                    again, created = await storage.resolve(BY, "kept", max_gap_s=None, now_ms=NOW)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        assert (again.id, created) == (kept.id, False)


async def test_more_requests_than_connections_wait_their_turn(postgres: PostgresServer) -> None:
    url = await asyncio.to_thread(postgres.create_database, "turns")
    async with opened(url, connections=2) as storage:
        found = await asyncio.gather(
            *(storage.resolve(BY, f"k{n % 50}", max_gap_s=None, now_ms=NOW) for n in range(200))
        )
        assert len({conversation.id for conversation, _ in found}) == 50
        assert sum(created for _, created in found) == 50


async def test_a_row_that_somebody_holds_is_waited_for_no_longer_than_the_deadline(
    postgres: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres.create_database, "held")
    async with opened(url) as storage:
        kept, _ = await storage.resolve(BY, "kept", max_gap_s=None, now_ms=NOW)
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute("SELECT 1 FROM conversations FOR UPDATE")
                with pytest.raises(Unavailable):
                    await storage.clear("faults", kept.id, event_id="c", reason=None, now_ms=NOW)
        finally:
            await other.close()
        cleared = await storage.clear("faults", kept.id, event_id="c", reason=None, now_ms=NOW)
        assert (cleared.session_number, cleared.position) == (1, 1)


async def test_a_database_that_takes_no_writes_is_not_ready(postgres: PostgresServer) -> None:
    """As a standby, or one in maintenance: it answers, and an agent's words would be refused."""
    url = await asyncio.to_thread(postgres.create_database, "readonly")
    async with opened(url) as storage:
        await storage.ping()
    await asyncio.to_thread(
        postgres.ask, "ALTER DATABASE readonly SET default_transaction_read_only = on"
    )
    storage = PostgresStorage(url, connections=1, timeout_s=DEADLINE_S)
    with pytest.raises(BackendError):
        await storage.open()
    await storage.close()


def test_every_error_of_asyncpg_is_translated() -> None:
    """All that can come out of a statement is one of ours, and says nothing of its data."""
    raised = [
        kind
        for _, kind in inspect.getmembers(asyncpg.exceptions, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]
    assert len(raised) > 200
    for kind in raised:
        if issubclass(kind, asyncpg.exceptions.PostgresLogMessage) and not issubclass(
            kind, asyncpg.PostgresError
        ):
            continue  # a notice, never raised
        assert issubclass(kind, FAILURES), kind
        ours = translated(kind("what somebody said"))
        assert isinstance(ours, Unavailable | Malformed)
        assert "what somebody said" not in ours.detail


async def test_text_that_postgresql_cannot_hold_is_refused_as_malformed(
    postgres: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres.create_database, "nul")
    async with opened(url) as storage:
        with pytest.raises(Malformed):
            await storage.resolve(BY, "a\0b", max_gap_s=None, now_ms=NOW)
        with pytest.raises(Malformed):
            await storage.call(Reader(tenant="faults"), "a\0b")


async def test_words_are_not_indexed_of_a_message_that_is_pruned_meanwhile(
    postgres: PostgresServer,
) -> None:
    """The index is filled beside the log; what is forgotten must not stay in it."""
    url = postgres.create_database("pruned-while-indexed")
    holder, admin = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        async with opened(url) as storage:
            talk, _ = await storage.resolve(BY, "key", max_gap_s=None, now_ms=NOW)
            await _write(storage, talk.id, count=4)
            async with holder.transaction():  # indexing waits here, its words written
                await holder.execute("SELECT FROM search_state FOR UPDATE")
                indexing = asyncio.create_task(storage.index_messages(limit=100))
                await wait_for(lambda: _waits(admin, "transactionid"))
                keep = Keep(max_events=1, since_ms=None)
                pruning = asyncio.create_task(
                    storage.prune(BY.tenant, talk.id, keep, now_ms=NOW, limit=100)
                )
                await wait_for(lambda: _waits_or_done(admin, pruning))
            assert await indexing == 4
            assert await pruning == 3
            assert await admin.fetchval("SELECT count(*) FROM search_docs") == 1
    finally:
        await admin.close()
        await holder.close()


async def _write(storage: PostgresStorage, id_: str, *, count: int) -> None:
    writer = NewWriter(
        writer_id="w", kind="call", room=None, job_id=None, started_ms=NOW, claimed_fence=None
    )
    await storage.register(BY.tenant, id_, writer, lease_s=0.0, now_ms=NOW - 1)
    sent = [message(n) for n in range(1, count + 1)]
    batch = Batch(conversation_id=id_, writer_id="w", events=check_batch(id_, "w", sent))
    await storage.store_events(BY.tenant, batch, now_ms=NOW)


async def _waits(admin: asyncpg.Connection, event: str) -> bool:
    found: bool = await admin.fetchval(
        "SELECT count(*) > 0 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = $1",
        event,
    )
    return found


async def _waits_or_done(admin: asyncpg.Connection, pruning: asyncio.Task[int]) -> bool:
    return pruning.done() or await _waits(admin, "advisory")
