"""Following conversations as they grow: one read of the database for all who follow the same one.

Each conversation that somebody follows has a feed: its newest events, read once. A follower pulls
from it at its own pace, after it has read what is older from storage; nothing is queued per
follower. One that falls behind the feed's length is sent away with the place to come back to.

A notification only means "look": a feed also looks by itself every few seconds. When this fails,
followers see events late; none is lost, because the log itself is the history.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from backend.errors import Gone, Unavailable
from backend.jobs import Jobs
from backend.storage.ports import Storage
from backend.storage.records import Change, EventFilter, Reader

PAGE: Final = 200
MAX_KEPT: Final = 2_000
MAX_KEPT_BYTES: Final = 4 * 1024 * 1024
LOOK_S: Final = 5.0
"""A lost notification shows an event at most this late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One event to be shown. ``position`` 0: it was not kept, so it is no place to return to."""

    position: int
    event: bytes


class Behind(Exception):
    """The follower cannot go on from where it is: come back after position ``after``."""

    def __init__(self, after: int) -> None:
        super().__init__(f"continue after {after}")
        self.after = after


class Feed:
    """The newest events of one conversation, and who waits for more."""

    def __init__(self, tenant: str, conversation_id: str, position: int) -> None:
        self.tenant = tenant
        self.conversation_id = conversation_id
        self.position = position
        """Everything up to here has been read."""
        self.floor = position
        """Everything kept that lies beyond this position is in the feed."""
        self.followers = 0
        self.look = asyncio.Event()
        self._items: list[Item] = []
        self._first = 0  # how many items have gone before _items[0]
        self._bytes = 0
        self._moved = asyncio.Event()

    def add(self, items: Sequence[Item]) -> None:
        """Append ``items``, drop the oldest beyond the limits, wake all followers."""
        if not items:
            return
        self._items += items
        self._bytes += sum(len(item.event) for item in items)
        self.position = max(self.position, items[-1].position)
        while len(self._items) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
            self._drop(max(1, len(self._items) // 4))
        self.wake()

    def skip(self, position: int) -> None:
        """Go on after ``position``; whoever follows is sent away, for it has missed something."""
        self._drop(len(self._items))
        self._first += 1
        self.position = self.floor = position
        self.wake()

    def wake(self) -> None:
        """Let every follower look."""
        self._moved.set()
        self._moved.clear()

    def place_after(self, position: int) -> int | None:
        """Find where in the feed a follower joins; None when the feed does not reach back."""
        if position < self.floor:
            return None
        place = self._first + len(self._items)
        for item in reversed(self._items):
            if 0 < item.position <= position:
                break
            place -= 1
        return place

    def since(self, place: int) -> Sequence[Item] | None:
        """List the items from ``place`` on; None when the oldest of them are gone."""
        return self._items[place - self._first :] if place >= self._first else None

    async def moved(self, *, within_s: float) -> None:
        """Wait for new items, at most ``within_s`` seconds."""
        await _set_within(self._moved, within_s)

    def _drop(self, count: int) -> None:
        gone = self._items[:count]
        del self._items[:count]
        self._first += count
        self._bytes -= sum(len(item.event) for item in gone)
        self.floor = max([self.floor, *(item.position for item in gone)])


class Live:
    """All feeds of this process."""

    def __init__(self, storage: Storage, *, max_followers: int) -> None:
        self._storage = storage
        self._max_followers = max_followers
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._jobs: Jobs | None = None
        self._ended = False
        self.followers = 0

    async def run(self, jobs: Jobs) -> None:
        """Hear of changes until the jobs stop."""
        self._jobs = jobs
        await jobs.until_stopped(self._storage.follow_changes(self._hear))

    def end(self) -> None:
        """Let every follower go: the server stops."""
        self._ended = True
        for feed in self._feeds.values():
            feed.look.set()
            feed.wake()

    async def follow(
        self, reader: Reader, conversation_id: str, *, after: int | None, idle_s: float
    ) -> AsyncGenerator[Sequence[Item], None]:
        """Yield every event after position ``after`` (None: from now on), as they come.

        The first batch is empty: the conversation was found. A later empty one says that
        ``idle_s`` seconds went by without an event. Ends when the server stops. Each kept event
        comes once, ascending by position.

        Raises:
            NotFound: no such conversation.
            Unavailable: too many follow already, or the database is away.
            Behind: the follower was too slow; it continues after the place in the error.
        """
        with self._follower():
            # Read before joining: what is stored from here on is either in it or in the feed.
            newest = await self._storage.last_position(reader, conversation_id)
            cursor = newest if after is None else after
            if cursor > newest:  # of another database, or of one restored from a backup
                raise Behind(newest)
            with self._feed(reader.tenant, conversation_id, newest) as feed:
                yield []
                async for batch in self._history(feed, reader, cursor):
                    cursor = batch[-1].position
                    yield batch
                async for batch in self._from(feed, cursor, idle_s):
                    yield batch

    async def _history(
        self, feed: Feed, reader: Reader, cursor: int
    ) -> AsyncGenerator[Sequence[Item], None]:
        """Read from storage until the feed reaches back to the cursor."""
        while feed.place_after(cursor) is None and not self._ended:
            batch = await self._read(reader, feed.conversation_id, cursor)
            if not batch:
                return
            cursor = batch[-1].position
            yield batch

    async def _from(
        self, feed: Feed, cursor: int, idle_s: float
    ) -> AsyncGenerator[Sequence[Item], None]:
        place = feed.place_after(cursor)
        while not self._ended:
            items = None if place is None else feed.since(place)
            if items is None or place is None:
                raise Behind(cursor)
            if not items:
                await feed.moved(within_s=idle_s)
                items = feed.since(place)
                if items is None:
                    raise Behind(cursor)
            place += len(items)
            # A follower that joined ahead of the feed has had some of these already.
            fresh = [item for item in items if not 0 < item.position <= cursor]
            if fresh or not items:
                cursor = max([cursor, *(item.position for item in fresh)])
                yield fresh

    @contextmanager
    def _follower(self) -> Iterator[None]:
        if self.followers >= self._max_followers or self._ended:
            raise Unavailable("too_many_streams", "too many streams are open", retry_after_s=5)
        self.followers += 1
        try:
            yield
        finally:
            self.followers -= 1

    @contextmanager
    def _feed(self, tenant: str, conversation_id: str, position: int) -> Iterator[Feed]:
        key = (tenant, conversation_id)
        feed = self._feeds.get(key)
        if feed is None:
            if self._jobs is None:
                raise Unavailable("starting", "the backend is starting")
            feed = self._feeds[key] = Feed(tenant, conversation_id, position)
            self._jobs.start("feed", functools.partial(self._pump, feed))
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[key]
                feed.look.set()  # its pump ends

    def _hear(self, change: Change | None) -> None:
        if change is None:
            for feed in self._feeds.values():
                feed.look.set()
            return
        if followed := self._feeds.get((change.tenant, change.conversation_id)):
            followed.add([Item(position=0, event=event) for event in change.passing])
            followed.look.set()

    async def _pump(self, feed: Feed, jobs: Jobs) -> None:
        """Read for a feed while anyone follows it."""
        reader = Reader(tenant=feed.tenant)
        while feed.followers and not self._ended and not jobs.stopping.is_set():
            feed.look.clear()
            try:
                items = await self._read(reader, feed.conversation_id, feed.position)
            except Behind as exc:  # pruned before it was read: nobody saw what is missing
                feed.skip(exc.after)
                continue
            feed.add(items)
            if len(items) < PAGE:
                await _set_within(feed.look, LOOK_S)

    async def _read(self, reader: Reader, id_: str, after: int) -> list[Item]:
        wanted = EventFilter(after=after, limit=PAGE)
        try:
            events = await self._storage.events(reader, id_, wanted)
        except Gone as exc:
            raise Behind(exc.after) from exc
        return [Item(position=position_of(event), event=event) for event in events]


async def _set_within(event: asyncio.Event, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return


class _Place(msgspec.Struct):
    position: int


def position_of(event: bytes) -> int:
    """Read the position of an event as storage shows it."""
    return msgspec.json.decode(event, type=_Place).position
