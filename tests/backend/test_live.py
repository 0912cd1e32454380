"""Feeds by themselves, where a test decides when they hear of a change. Real SQLite file."""

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from backend.jobs import supervised
from backend.rules.events import check_batch
from backend.service.live import MAX_KEPT, Behind, Feed, Item, Live
from backend.storage.ports import Tell
from backend.storage.records import Batch, NewWriter, Reader, Token
from backend.storage.sqlite.store import SqliteStorage
from tests.backend.log_client import event
from tests.support.waiting import wait_for

ACME = Reader(tenant="acme")


class DeafStorage(SqliteStorage):
    """Tells of changes when the test says so; counts reads of events."""

    reads = 0
    tell: Tell

    async def follow_changes(self, tell: Tell) -> None:
        self.tell = tell
        await asyncio.Event().wait()

    async def events(self, *args: object) -> list[bytes]:
        found = await super().events(*args)  # type: ignore[arg-type]
        self.reads += 1
        return found

    async def store(self, id_: str, first: int, last: int) -> None:
        """Store events with these ordinals."""
        made = check_batch(id_, "w", [event(n) for n in range(first, last + 1)])
        await self.store_events(
            "acme", Batch(conversation_id=id_, writer_id="w", events=made), now_ms=1
        )


@asynccontextmanager
async def living(folder: Path) -> AsyncIterator[tuple[DeafStorage, Live, str]]:
    """Run feeds over a new database with one conversation and its writer ``w``."""
    storage = DeafStorage(folder / "live.db")
    await storage.open()
    live = Live(storage, max_followers=2_000)
    token = Token(token_id="t", tenant="acme", scope="admin", expires_ms=None)
    found, _ = await storage.resolve(token, "key", max_gap_s=None, now_ms=1)
    writer = NewWriter(
        writer_id="w", kind="call", room=None, job_id=None, started_ms=1, claimed_fence=None
    )
    await storage.register("acme", found.id, writer, lease_s=1, now_ms=1)
    try:
        async with supervised(drain_s=5) as jobs:
            jobs.start("live", live.run)
            await asyncio.sleep(0)
            try:
                yield storage, live, found.id
            finally:
                live.end()
    finally:
        await storage.close()


async def take(batches: AsyncIterator[Sequence[Item]], count: int) -> list[int]:
    """Read positions until there are ``count``."""
    seen: list[int] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            seen += [item.position for item in await anext(batches)]
    return seen


async def test_who_joins_ahead_of_the_feed_sees_nothing_twice(tmp_path: Path) -> None:
    async with living(tmp_path) as (storage, live, id_):
        await storage.store(id_, 1, 10)
        early = live.follow(ACME, id_, after=None, idle_s=60)
        late = live.follow(ACME, id_, after=0, idle_s=60)
        async with aclosing(early), aclosing(late):
            await anext(early)
            await wait_for(lambda: storage.reads)  # the feed has looked: it stands at 10
            await storage.store(id_, 11, 15)  # and has not heard of these
            assert await take(late, 15) == list(range(1, 16))
            await storage.store(id_, 16, 17)

            async def hear() -> list[int]:
                storage.tell(None)  # by now the late one waits at the feed
                return await take(early, 7)

            after, before = await asyncio.gather(take(late, 2), hear())
            assert (before, after) == (list(range(11, 18)), [16, 17])


async def test_a_lost_notification_costs_time_and_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.service.live.LOOK_S", 0.05)
    async with (
        living(tmp_path) as (storage, live, id_),
        aclosing(live.follow(ACME, id_, after=None, idle_s=60)) as batches,
    ):
        await anext(batches)
        await storage.store(id_, 1, 3)
        assert await take(batches, 3) == [1, 2, 3]


async def test_a_thousand_readers_of_one_conversation_share_one_read(tmp_path: Path) -> None:
    async with living(tmp_path) as (storage, live, id_):
        readers = [live.follow(ACME, id_, after=None, idle_s=60) for _ in range(1_000)]
        for reader in readers:
            await anext(reader)
        await wait_for(lambda: storage.reads)  # the feed's first look
        before = storage.reads
        await storage.store(id_, 1, 1)
        storage.tell(None)
        seen = await asyncio.gather(*(take(reader, 1) for reader in readers))
        assert seen == [[1]] * 1_000
        assert storage.reads - before <= 2
        for reader in readers:
            await reader.aclose()
        assert live.followers == 0


def _has_read(feed: Feed, position: int) -> bool:
    return feed.position >= position


async def test_a_feed_that_moved_on_sends_its_follower_away(tmp_path: Path) -> None:
    async with living(tmp_path) as (storage, live, id_):
        slow = live.follow(ACME, id_, after=0, idle_s=60)
        async with aclosing(slow):
            await anext(slow)
            await storage.store(id_, 1, 2)
            storage.tell(None)
            assert await take(slow, 2) == [1, 2]
            for first in range(3, MAX_KEPT + 1_003, 500):
                await storage.store(id_, first, first + 499)
                storage.tell(None)
                feed = live._feeds["acme", id_]
                await wait_for(functools.partial(_has_read, feed, first + 499))
            with pytest.raises(Behind) as behind:
                await take(slow, 1)
            assert behind.value.after == 2


def test_a_feed_says_how_far_back_it_reaches() -> None:
    feed = Feed("acme", "c", 10)
    assert feed.place_after(10) == 0
    assert feed.place_after(9) is None
    feed.add([Item(position=11, event=b"a"), Item(position=0, event=b"b")])
    feed.add([Item(position=12, event=b"c")])
    assert [feed.place_after(position) for position in (10, 11, 12, 13)] == [0, 1, 3, 3]
    assert [item.event for item in feed.since(1) or ()] == [b"b", b"c"]
    feed.add([Item(position=n, event=b"x") for n in range(13, 13 + MAX_KEPT)])
    assert feed.place_after(12) is None  # dropped: storage has them
    assert feed.place_after(12 + MAX_KEPT) is not None
