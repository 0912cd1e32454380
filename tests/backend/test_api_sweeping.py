"""The sweep: writers of lost pods are ended, and nobody else is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest

from backend.clock import now_ms
from backend.errors import Unavailable
from backend.jobs import supervised
from backend.service.sweeping import Sweeper
from backend.settings import Settings
from backend.storage.choice import open_storage
from backend.storage.ports import Storage, Writers
from backend.storage.records import Heartbeat, NewWriter, SilentWriter, Token
from tests.backend.log_client import Json, Log, event, message, ok, refused
from tests.backend.process import Backend
from tests.backend.waiting import eventually
from tests.support.databases import Database

LEASE_S = 0.3
LONG_AGO = 1_000


@pytest.fixture
def sweeping(tmp_path: Path, database: Database) -> Iterator[Backend]:
    """A backend that takes a writer for lost after one second."""
    server = Backend(
        tmp_path,
        VOICE_BACKEND__WRITER_LOST_S="1",
        VOICE_BACKEND__LEASE_S=str(LEASE_S),
        **database.settings(tmp_path),
    )
    yield server.start()
    assert server.stop() == 0
    assert '"level": "ERROR"' not in server.log()


@pytest.fixture
def http(sweeping: Backend) -> Iterator[httpx.Client]:
    with sweeping.client(sweeping.token()) as client:
        yield client


def ends(log: Log) -> list[Json]:
    """List the ends of writers."""
    return [one for one in log.events(limit=100) if one["kind"] == "call_ended"]


def test_the_writer_of_a_lost_pod_is_ended_and_others_are_not(log: Log) -> None:
    log.register("left", room="r1")
    log.end("left", reason="caller_left")
    log.register("lost", room="r2")
    ok(log.send("lost", event(1, "turn_started", turn_id="t1"), message(2, turn_id="t1")))
    ok(log.beat("lost", last_ordinal=4))
    log.register("lives", room="r3")

    def ended() -> list[tuple[str, str]]:
        log.beat("lives")
        return [(one["writer_id"], one["reason"]) for one in ends(log)]

    eventually(lambda: len(ended()) >= 2)
    eventually(lambda: ended() == [("left", "caller_left"), ("lost", "agent_lost")])
    turn = next(one for one in log.events(limit=100) if one["kind"] == "turn_ended")
    assert (turn["turn_id"], turn["outcome"]) == ("t1", "abandoned")
    assert log.shown()["missing"] == [{"writer_id": "lost", "from": 3, "to": 4}]

    # It was only cut off: what it says is taken as before, and it hears what became of it.
    ok(log.send("lost", event(3), event(4)))
    assert log.shown()["missing"] == []
    refused(log.beat("lost"), 409, "ended")
    assert len(ends(log)) == 2


@asynccontextmanager
async def stored(address: str) -> AsyncIterator[tuple[Storage, str]]:
    """Open a database with one conversation that has one writer without a lease."""
    storage = open_storage(Settings(database_url=address))
    await storage.open()
    try:
        token = Token(tenant="t", token_id="one", scope="admin", expires_ms=None)
        talk, _ = await storage.resolve(token, "key", max_gap_s=None, now_ms=LONG_AGO)
        writer = NewWriter(
            writer_id="w",
            kind="call",
            room=None,
            job_id=None,
            started_ms=LONG_AGO,
            claimed_fence=None,
        )
        await storage.register("t", talk.id, writer, lease_s=1.0, now_ms=LONG_AGO)
        yield storage, talk.id
    finally:
        await storage.close()


def test_a_writer_that_gave_a_sign_between_two_looks_is_not_lost(
    tmp_path: Path, database: Database
) -> None:
    async def look() -> None:
        async with stored(database.address(tmp_path)) as (storage, id_), supervised(drain_s=1) as j:
            sweeper = Sweeper(storage=storage, lost_s=60.0)
            assert await sweeper.sweep(j) == 0
            beat = Heartbeat(last_ordinal=1, session_number=0, lease_s=2.0)
            await storage.renew("t", id_, "w", beat, now_ms=LONG_AGO + 5)  # and lost it again
            assert await sweeper.sweep(j) == 0
            assert await sweeper.sweep(j) == 1
            assert await sweeper.sweep(j) == 0
            life = await storage.silent_writers(before_ms=now_ms(), after=None, limit=10)
            assert life == []

    asyncio.run(look())


class AwayOnce:
    """A database that cannot be reached at the second look."""

    def __init__(self, storage: Storage) -> None:
        self.looks = 0
        self.end_writer = storage.end_writer
        self._silent = storage.silent_writers

    async def silent_writers(
        self, *, before_ms: int, after: SilentWriter | None, limit: int
    ) -> list[SilentWriter]:
        self.looks += 1
        if self.looks == 2:
            raise Unavailable("storage_unavailable", "away")
        return await self._silent(before_ms=before_ms, after=after, limit=limit)


def test_while_the_database_is_away_nobody_is_watched(tmp_path: Path, database: Database) -> None:
    async def look() -> None:
        async with stored(database.address(tmp_path)) as (storage, _), supervised(drain_s=1) as j:
            away = AwayOnce(storage)
            sweeper = Sweeper(storage=cast("Writers", away), lost_s=60.0)
            assert await sweeper.sweep(j) == 0
            with pytest.raises(Unavailable):
                await sweeper.sweep(j)
            assert await sweeper.sweep(j) == 0
            assert await sweeper.sweep(j) == 1

    asyncio.run(look())
