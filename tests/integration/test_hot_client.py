"""A Redis that fails costs a call one deadline, then nothing, and is found again when it is back.

A real Valkey, a proxy before it that misbehaves, and a real cluster.
"""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator

import pytest
import redis.exceptions

from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import Fault, FaultProxy, Target
from tests.support.cluster import ClusterNode, ValkeyCluster
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.hot_cache import Appended, HotCache, Outcome, Scribe
from voice_agent.state.hot_client import ERRORS, HotClient, RedisPlace, connect
from voice_agent.state.keys import Keys

TALK = ConversationId("talk")
ANNA = Scribe(writer_id=WriterId("anna"), fence=1, header=b"{}")
KEYS = Keys(tenant="acme")
TIMEOUT_S = 0.3


def client_of(url: str, *, cluster: bool = False, timeout_s: float = TIMEOUT_S) -> HotClient:
    place = RedisPlace(url=url, cluster=cluster, timeout_s=timeout_s)
    return HotClient(connect(place), clock=SystemClock(), timeout_s=timeout_s)


def cache_of(client: HotClient) -> HotCache:
    return HotCache(client, KEYS, ttl_s=60, most=1_000)


@pytest.fixture
async def proxy(valkey: ValkeyServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(Target(host="127.0.0.1", port=valkey.port)) as proxy:
        yield proxy


@pytest.fixture
async def client(valkey: ValkeyServer, proxy: FaultProxy) -> AsyncIterator[HotClient]:
    """A client of Valkey through the proxy."""
    client = client_of(valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"))
    yield client
    await client.aclose()


@pytest.fixture
def cache(client: HotClient) -> HotCache:
    return cache_of(client)


async def add(cache: HotCache, ordinal: int) -> Appended:
    return await cache.append(TALK, ANNA, ordinal, [b"%d" % ordinal])


async def added(
    cache: HotCache, ordinal: int, *, talk: ConversationId = TALK, within_s: float = 5.0
) -> Appended:
    """Append as soon as Redis takes it."""
    async with asyncio.timeout(within_s):
        while True:
            with contextlib.suppress(LayerUnavailable):
                return await cache.append(talk, ANNA, ordinal, [b"%d" % ordinal])
            await asyncio.sleep(0.02)


async def ordinals(cache: HotCache) -> list[int]:
    return [int(entry.data) for entry in (await cache.read(TALK)).entries]


def test_every_error_of_the_library_is_one_of_ours() -> None:
    classes = [
        each
        for _, each in inspect.getmembers(redis.exceptions, inspect.isclass)
        if issubclass(each, Exception) and each.__module__ == "redis.exceptions"
    ]
    assert len(classes) > 20
    assert [each for each in classes if not issubclass(each, ERRORS)] == []


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.SILENT, Fault.LOSE_ANSWERS, Fault.SLOW])
async def test_a_fault_costs_a_deadline_each_time_until_the_breaker_rests_and_then_nothing(
    client: HotClient, cache: HotCache, proxy: FaultProxy, fault: Fault
) -> None:
    assert await add(cache, 1) == Appended(outcome=Outcome.STORED, held=1)
    await proxy.set(fault)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(LayerUnavailable):
            await add(cache, 2)
    assert time.monotonic() - began < 3 * TIMEOUT_S + 0.5
    assert client.is_degraded
    assert proxy.met
    met, began = proxy.met, time.monotonic()
    for _ in range(500):
        with pytest.raises(LayerUnavailable):
            await add(cache, 2)
    assert time.monotonic() - began < 0.25
    if fault is Fault.REFUSE:
        assert proxy.met == met  # nothing was even tried
    await proxy.set(Fault.NONE)
    last = await added(cache, 2)
    assert last.held == 2
    assert not client.is_degraded
    assert await ordinals(cache) == [1, 2]  # no answer came to another question


async def test_a_cancelled_call_leaves_no_answer_for_the_next_one(
    cache: HotCache, proxy: FaultProxy
) -> None:
    await add(cache, 1)
    await proxy.set(Fault.SILENT)
    reading = asyncio.ensure_future(cache.read(TALK))
    await proxy.met_at_least(1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await proxy.set(Fault.NONE)
    assert await add(cache, 2) == Appended(outcome=Outcome.STORED, held=2)


async def test_a_full_redis_takes_nothing_half_and_goes_on_when_it_has_room(
    cache: HotCache, valkey: ValkeyServer
) -> None:
    await add(cache, 1)
    valkey.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(3):
            with pytest.raises(LayerUnavailable):
                await add(cache, 2)
            with pytest.raises(LayerUnavailable):
                await cache.append(
                    TALK, Scribe(writer_id=WriterId("b"), fence=9, header=b""), 1, []
                )
    finally:
        valkey.ask("CONFIG", "SET", "maxmemory", "0")
    assert (await added(cache, 2)).held == 2
    assert await ordinals(cache) == [1, 2]


async def test_a_redis_that_forgot_our_scripts_is_told_them_again(
    cache: HotCache, valkey: ValkeyServer
) -> None:
    await add(cache, 1)
    valkey.ask("SCRIPT", "FLUSH")
    assert (await add(cache, 2)).outcome is Outcome.STORED


async def test_a_restarted_redis_is_found_again(own_valkey: ValkeyServer) -> None:
    client = client_of(own_valkey.url)
    cache = cache_of(client)
    try:
        await add(cache, 1)
        await asyncio.to_thread(own_valkey.kill9)
        with pytest.raises(LayerUnavailable):
            await add(cache, 2)
        await asyncio.to_thread(own_valkey.start)
        assert (await added(cache, 2)).outcome is Outcome.STORED
        assert await ordinals(cache) == [2]  # it was empty: the tail begins anew
    finally:
        await client.aclose()


async def test_a_cluster_keeps_each_conversation_and_goes_on_when_a_primary_dies(
    valkey_cluster: ValkeyCluster,
) -> None:
    """Conversations of all slots; the replica takes over what the dead primary had."""
    client = client_of(valkey_cluster.url, cluster=True, timeout_s=1.0)
    cache = cache_of(client)
    talks = [ConversationId(f"talk-{number}") for number in range(12)]
    try:
        for talk in talks:
            for ordinal in (1, 2):
                stored = await cache.append(talk, ANNA, ordinal, [b"%d" % ordinal])
                assert stored == Appended(outcome=Outcome.STORED, held=ordinal)
        holder = await asyncio.to_thread(valkey_cluster.holder_of, KEYS.tail(talks[0]))
        await asyncio.to_thread(_replicated, holder)
        await asyncio.to_thread(holder.kill9)

        for talk in talks:
            stored = await added(cache, 3, talk=talk, within_s=20)
            assert stored.held == 3
            assert [int(e.data) for e in (await cache.read(talk)).entries] == [1, 2, 3]
    finally:
        await client.aclose()


def _replicated(holder: ClusterNode) -> None:
    """Wait until the replica has what the primary has: replication is asynchronous."""
    holder.client.wait(1, 2_000)
