"""What the job offers is in Redis in order, and the relay refills what is not. A real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import Fault, FaultProxy, Target
from tests.support.waiting import wait_for
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state import hot_feed
from voice_agent.state.hot_cache import HotCache, Scribe
from voice_agent.state.hot_client import HotClient, RedisPlace, connect
from voice_agent.state.hot_feed import HotFeed
from voice_agent.state.hot_refill import HotRefill
from voice_agent.state.keys import Keys

TALK = ConversationId("talk")
ANNA = Scribe(writer_id=WriterId("anna"), fence=1, header=b"{}")
BORIS = Scribe(writer_id=WriterId("boris"), fence=2, header=b"{}")


class Fed:
    """A feed that runs, what it was offered, and a way to see what arrived."""

    def __init__(self, cache: HotCache) -> None:
        self.cache = cache
        self.named: ConversationId | None = TALK
        self.last = 0
        self.feed = HotFeed(
            cache, clock=SystemClock(), scribe=lambda: ANNA, conversation_id=lambda: self.named
        )
        self.task = asyncio.ensure_future(self.feed.keep())

    def say(self, count: int) -> None:
        for _ in range(count):
            self.last += 1
            self.feed.offer(self.last, b"%d" % self.last)

    async def end(self) -> None:
        self.feed.close()
        async with asyncio.timeout(5.0):
            await self.task


async def ordinals(cache: HotCache) -> list[int]:
    return [int(entry.data) for entry in (await cache.read(TALK)).entries]


async def holds(cache: HotCache, wanted: list[int]) -> None:
    async with asyncio.timeout(5.0):
        while await ordinals(cache) != wanted:
            await asyncio.sleep(0.01)


@pytest.fixture
def cache(redis_client: HotClient) -> HotCache:
    return HotCache(redis_client, Keys(tenant="acme"), ttl_s=60, most=5_000)


@pytest.fixture
async def network(valkey: ValkeyServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(Target(host="127.0.0.1", port=valkey.port)) as proxy:
        yield proxy


@pytest.fixture
async def far(valkey: ValkeyServer, network: FaultProxy) -> AsyncIterator[HotCache]:
    """The same Redis behind a network that may fail."""
    url = valkey.url.replace(f":{valkey.port}/", f":{network.port}/")
    client = HotClient(connect(RedisPlace(url=url)), clock=SystemClock(), timeout_s=0.2)
    yield HotCache(client, Keys(tenant="acme"), ttl_s=60, most=5_000)
    await client.aclose()


async def test_what_is_offered_arrives_in_order_and_the_last_before_the_end(
    cache: HotCache,
) -> None:
    fed = Fed(cache)
    fed.say(hot_feed.BATCH * 2 + 50)
    await holds(cache, list(range(1, 251)))
    fed.say(3)
    await fed.end()
    assert await ordinals(cache) == list(range(1, 254))


async def test_a_call_whose_conversation_is_not_known_yet_waits(cache: HotCache) -> None:
    fed = Fed(cache)
    fed.named = None
    fed.say(3)
    await asyncio.sleep(0)  # it has looked
    fed.named = TALK
    fed.feed.ring()
    await holds(cache, [1, 2, 3])
    await fed.end()


async def test_what_was_offered_while_redis_was_away_comes_in_order_afterwards(
    cache: HotCache, far: HotCache, network: FaultProxy
) -> None:
    fed = Fed(far)
    fed.say(1)
    await holds(cache, [1])
    await network.set(Fault.REFUSE)
    fed.say(20)
    await network.met_at_least(2)
    await network.set(Fault.NONE)
    await holds(cache, list(range(1, 22)))
    await fed.end()


async def test_an_end_does_not_wait_for_a_redis_that_is_away(
    far: HotCache, network: FaultProxy
) -> None:
    await network.set(Fault.SILENT)
    fed = Fed(far)
    fed.say(5)
    await network.met_at_least(1)
    await fed.end()


async def test_what_overflows_is_refilled_from_the_outbox_in_order(
    cache: HotCache, far: HotCache, network: FaultProxy
) -> None:
    fed = Fed(far)
    fed.say(1)
    await holds(cache, [1])
    await network.set(Fault.REFUSE)
    fed.say(hot_feed.WAITING_MAX + 500)
    assert fed.feed.waiting_count == hot_feed.WAITING_MAX
    outbox = [(n, b"%d" % n) for n in range(1, fed.last + 1)]
    refill = HotRefill(cache, read_after=lambda after: [o for o in outbox if o[0] > after])
    await network.set(Fault.NONE)

    async def relay_looks() -> None:
        await refill.step(TALK, ANNA, last_ordinal=fed.last, acknowledged=0, is_dead=False)

    async with asyncio.timeout(10.0):
        while await ordinals(cache) != list(range(1, fed.last + 1)):
            await relay_looks()
            await asyncio.sleep(0.02)
    fed.say(1)  # and the job goes on by itself
    await holds(cache, list(range(1, fed.last + 1)))
    await fed.end()


async def test_what_has_a_gap_before_it_is_left_to_the_relay(cache: HotCache) -> None:
    fed = Fed(cache)
    fed.say(1)
    await holds(cache, [1])
    fed.last = 5  # what came between was never offered
    fed.say(2)
    await fed.end()
    assert fed.feed.waiting_count == 0
    assert await ordinals(cache) == [1]


async def test_a_job_that_was_overtaken_leaves_the_tail_alone(cache: HotCache) -> None:
    await cache.append(TALK, BORIS, 1, [b"1"])
    fed = Fed(cache)
    fed.say(3)
    await wait_for(lambda: fed.feed.is_fenced)
    fed.say(3)
    await fed.end()
    tail = await cache.read(TALK)
    assert tail.is_stale
    assert [entry.writer_id for entry in tail.entries] == ["boris"]


class Steps:
    """The relay's side for a writer whose file has ``count`` events."""

    def __init__(self, cache: HotCache, *, missing: set[int] | None = None) -> None:
        self.reads = 0
        self.count = 6
        self._missing = missing or set()
        self._refill = HotRefill(cache, read_after=self._read)

    def _read(self, after: int) -> list[tuple[int, bytes]]:
        self.reads += 1
        there = (n for n in range(after + 1, self.count + 1) if n not in self._missing)
        return [(n, b"%d" % n) for n in there]

    async def step(self, *, acknowledged: int = 0, is_dead: bool = False) -> None:
        await self._refill.step(TALK, ANNA, last_ordinal=self.count, acknowledged=acknowledged,
                                is_dead=is_dead)  # fmt: skip


async def test_what_a_live_job_is_about_to_append_is_left_to_it(cache: HotCache) -> None:
    await cache.append(TALK, ANNA, 1, [b"1", b"2"])
    relay = Steps(cache)
    await relay.step()
    assert relay.reads == 0
    await relay.step()  # it has not come: the relay does it
    assert await ordinals(cache) == [1, 2, 3, 4, 5, 6]
    await relay.step(acknowledged=4)
    assert relay.reads == 1
    assert (await cache.read(TALK)).acknowledged == {"anna": 4}


async def test_a_dead_jobs_rest_is_appended_at_once_and_after_a_flush_everything(
    cache: HotCache, valkey: ValkeyServer
) -> None:
    await cache.append(TALK, ANNA, 1, [b"1", b"2"])
    relay = Steps(cache)
    await relay.step(is_dead=True)
    assert await ordinals(cache) == [1, 2, 3, 4, 5, 6]
    valkey.flush()
    await relay.step(is_dead=True)
    assert await ordinals(cache) == [1, 2, 3, 4, 5, 6]


async def test_a_hole_in_the_outbox_ends_the_tail_before_it(cache: HotCache) -> None:
    relay = Steps(cache, missing={4})
    await relay.step(is_dead=True)
    assert await ordinals(cache) == [1, 2, 3]


async def test_an_older_writers_rest_marks_the_tail_stale_once(cache: HotCache) -> None:
    await cache.append(TALK, BORIS, 1, [b"1"])
    relay = Steps(cache)
    await relay.step(is_dead=True)
    await relay.step(is_dead=True)
    assert (await cache.read(TALK)).is_stale
    assert relay.reads == 1


async def test_a_redis_that_is_away_stops_no_relay(far: HotCache, network: FaultProxy) -> None:
    await network.set(Fault.REFUSE)
    await Steps(far).step(is_dead=True)
