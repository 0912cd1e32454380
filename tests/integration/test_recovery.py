"""Where a conversation is read back from: Redis alone only when it is known to reach the truth.

A real backend and a real Valkey; what a writer left behind is made by the test.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from backend_client import BackendClient
from tests.backend.process import Backend
from tests.integration.calls import WrittenCall
from tests.integration.relaying import resolve, texts
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.domain.events import Body, Event, Message, Thinking
from voice_agent.domain.ids import ConversationId, EventId, WriterId
from voice_agent.state.codec import encode_event, instant
from voice_agent.state.hot_cache import HotCache, Scribe
from voice_agent.state.hot_client import HotClient, RedisPlace, connect
from voice_agent.state.keys import Keys
from voice_agent.state.outbox import Header
from voice_agent.state.ports import Registration, WriterGrant
from voice_agent.state.read_repair import ReadRepair
from voice_agent.state.recovery import Recovered, Recovery

LIMIT = 4


@dataclass
class Writer:
    """A writer of one conversation; its words go where the test says."""

    world: "World"
    writer_id: WriterId
    grant: WriterGrant
    count: int = 0

    @property
    def scribe(self) -> Scribe:
        header = Header(writer_id=self.writer_id, started_at=instant(datetime.now(UTC)),
                        fence=self.grant.fence, conversation_id=self.world.talk)  # fmt: skip
        return Scribe(
            writer_id=self.writer_id,
            fence=self.grant.fence,
            header=msgspec.json.encode(header),
            is_first=self.grant.previous == (),
        )

    async def say(
        self, *words: str, redis: bool = True, backend: bool = True, session: int | None = 0
    ) -> None:
        bodies = [Message(role="user", text=word) for word in words]
        await self.record(bodies, redis=redis, backend=backend, session=session)

    async def think(self, count: int) -> None:
        """Record events that are no messages."""
        await self.record([Thinking(text="hm")] * count, redis=True, backend=True, session=0)

    async def record(
        self, bodies: Sequence[Body], *, redis: bool, backend: bool, session: int | None
    ) -> None:
        first = self.count + 1
        data: list[bytes] = []
        for body in bodies:
            self.count += 1
            event = Event(event_id=EventId(new_id()), ordinal=self.count, at=datetime.now(UTC),
                          body=body, session_number=session)  # fmt: skip
            data.append(encode_event(event))
        if redis:
            await self.world.cache.append(self.world.talk, self.scribe, first, data)
        if backend:
            await self.world.client.store_events(self.world.talk, self.writer_id, data)


@dataclass
class World:
    """One conversation in all layers."""

    talk: ConversationId
    client: BackendClient
    cache: HotCache

    async def register(self, *, kind: str = "call") -> Writer:
        writer_id = WriterId(new_id())
        grant = await self.client.register_writer(
            self.talk,
            Registration(writer_id=writer_id, kind=kind, started_at=instant(datetime.now(UTC))),
        )
        return Writer(world=self, writer_id=writer_id, grant=grant)

    async def recover(
        self,
        *,
        grant: WriterGrant | None,
        cache: HotCache | None = None,
        folder: Path | None = None,
        limit: int = LIMIT,
    ) -> Recovered:
        recovery = Recovery(
            cache=cache or self.cache,
            backend=self.client if grant else None,
            outbox_folder=folder,
            clock=SystemClock(),
            deadline_s=5.0,
        )
        return await recovery.recover(self.talk, limit=limit, grant=grant)


@pytest.fixture
async def world(
    backend: Backend, token: str, client: BackendClient, redis_client: HotClient
) -> World:
    talk = await asyncio.to_thread(resolve, backend, token, new_id())
    cache = HotCache(redis_client, Keys(tenant="acme"), ttl_s=60, most=100)
    return World(talk=ConversationId(talk), client=client, cache=cache)


def said(recovered: Recovered) -> list[str]:
    return [event.body.text for event in recovered.events if isinstance(event.body, Message)]


async def test_redis_alone_is_enough_when_it_reaches_as_far_as_the_last_writer(
    world: World,
) -> None:
    anna = await world.register()
    await anna.say("one", "two")
    await anna.say("three", backend=False)  # not delivered yet: Redis has even more
    silent = await world.register()  # registered, said nothing: it left again
    found = await world.recover(grant=(await world.register()).grant)
    assert silent.count == 0
    assert (said(found), found.source) == (["one", "two", "three"], "redis")
    assert found.rewarm is None


async def test_a_tail_that_is_behind_is_not_trusted_and_begins_anew_from_the_backend(
    world: World,
) -> None:
    anna = await world.register()
    await anna.say("one")
    await anna.say("two", redis=False)
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["one", "two"], "redis+backend")
    assert found.is_whole
    boris = await world.register()
    assert found.rewarm is not None
    await world.cache.rebuild(world.talk, boris.scribe, found.rewarm, is_whole=found.is_whole)
    await boris.say("three")
    again = await world.recover(grant=(await world.register()).grant)
    assert (said(again), again.source) == (["one", "two", "three"], "redis")


async def test_a_writer_that_does_not_use_redis_is_not_overlooked(world: World) -> None:
    """A text worker, or an agent without Redis: its fence is higher than the tail's."""
    await (await world.register()).say("spoken")
    await (await world.register(kind="text")).say("typed", redis=False)
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["spoken", "typed"], "redis+backend")


async def test_a_stale_tail_is_not_trusted(world: World) -> None:
    anna, boris = await world.register(), await world.register()
    await anna.say("one")
    await boris.say("two")
    await anna.say("late")  # stored by the backend, refused by Redis
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["one", "late", "two"], "redis+backend")


async def test_a_tail_that_is_too_short_is_not_enough_but_a_long_one_is(world: World) -> None:
    anna = await world.register()
    await anna.say("one", "two", redis=False)
    await anna.say("three")  # after a flush, say: the tail begins here
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["one", "two", "three"], "redis+backend")
    await anna.say("four", "five", "six")
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["three", "four", "five", "six"], "redis")


async def test_many_events_between_messages_are_read_as_far_as_needed(world: World) -> None:
    await (await world.register()).say("zero", redis=False)
    anna = await world.register()
    await anna.say("one", "two")
    await anna.think(50)
    await anna.say("three")
    found = await world.recover(grant=(await world.register()).grant, limit=2)
    assert (said(found), found.source) == (["two", "three"], "redis")


async def test_words_said_before_anybody_knew_the_session_are_left_to_the_backend(
    world: World,
) -> None:
    """Whether they were cleared only the backend can tell. A whole tail has all there is."""
    await (await world.register()).say("other", redis=False)
    anna = await world.register()
    await anna.say(*"abcd", session=None)
    found = await world.recover(grant=(await world.register()).grant)
    assert (said(found), found.source) == (["a", "b", "c", "d"], "redis+backend")


async def test_without_the_backend_redis_tells_what_it_has_of_the_newest_session(
    world: World,
) -> None:
    anna = await world.register()
    await anna.say("cleared", backend=False)
    await anna.say("shown", backend=False, session=1)
    found = await world.recover(grant=None)
    assert (said(found), found.source) == (["shown"], "redis")


async def test_without_redis_the_backend_tells_and_what_is_missing_is_said(world: World) -> None:
    await (await world.register()).say("one")
    client = HotClient(connect(RedisPlace(url="redis://127.0.0.1:9")), clock=SystemClock(),
                       timeout_s=0.2)  # fmt: skip
    away = HotCache(client, Keys(tenant="acme"), ttl_s=60, most=100)
    found = await world.recover(grant=(await world.register()).grant, cache=away)
    assert (said(found), found.source, found.missing) == (["one"], "backend", ("redis",))
    await client.aclose()


async def test_what_outboxes_hold_is_joined_in_its_place_and_not_behind(
    world: World, folder: Path
) -> None:
    """The file of a long call has much that the backend shows no more: it is not the newest."""
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=world.talk)
    for number in range(10):
        call.say(str(number))
    call.hang_up()
    found = await world.recover(grant=None, folder=folder)
    assert (said(found), found.source) == (["6", "7", "8", "9"], "outbox")
    foreign = await asyncio.to_thread(WrittenCall, folder, conversation_id="another")
    foreign.say("not ours")
    foreign.hang_up()
    assert said(await world.recover(grant=None, folder=folder)) == ["6", "7", "8", "9"]


async def test_read_repair_delivers_what_only_redis_had_under_its_own_writer(
    world: World, backend: Backend, token: str
) -> None:
    lost = WriterId(new_id())  # the backend never heard of it
    anna = Writer(
        world=world,
        writer_id=lost,
        grant=WriterGrant(fence=7, session_number=0, version=0, lease_s=3.0),
    )
    await anna.say("one", "two", backend=False, session=None)
    boris = await world.register()
    await boris.say("three")
    repair = ReadRepair(world.cache, world.client)
    assert await repair.run(world.talk, but=boris.writer_id) == 2
    assert await repair.run(world.talk, but=boris.writer_id) == 0
    await boris.say("four", backend=False)
    assert await repair.run(world.talk, but=boris.writer_id) == 0  # our own: the relay's
    shown = await asyncio.to_thread(texts, backend, token, world.talk)
    assert shown == ["one", "two", "three"]


async def test_read_repair_of_one_writer_does_not_hang_on_another_that_is_refused(
    world: World, backend: Backend, token: str
) -> None:
    bad = Scribe(writer_id=WriterId("bad"), fence=6, header=b"{}")
    await world.cache.append(world.talk, bad, 1, [b'{"not": "an event"}'])
    good = Writer(
        world=world,
        writer_id=WriterId(new_id()),
        grant=WriterGrant(fence=7, session_number=0, version=0, lease_s=3.0),
    )
    await good.say("one", backend=False, session=None)
    boris = await world.register()
    assert await ReadRepair(world.cache, world.client).run(world.talk, but=boris.writer_id) == 1
    assert await asyncio.to_thread(texts, backend, token, world.talk) == ["one"]
