"""Redis dies, forgets, is cut off or fails over in mid-call: the call goes on and nothing is lost.

Real job and relay processes of two pods, a real backend, and a Valkey or a cluster to break.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import Fault, FaultProxy, Target
from tests.backend.process import Backend
from tests.integration.relaying import resolve, texts
from tests.support.cluster import ValkeyCluster
from tests.support.pods import MakePod, ScriptedJob
from tests.support.waiting import wait_for
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.ids import ConversationId
from voice_agent.state.hot_cache import HotCache, Tail
from voice_agent.state.hot_client import HotClient, RedisPlace, connect
from voice_agent.state.keys import Keys

pytestmark = pytest.mark.timeout(180)
TENANT = "acme"
SOME_DAY = "2026-11-21T04:00:00.000Z"
NAMED = {"VOICE_HOT_CACHE__TENANT": TENANT}


def twice(*words: str) -> list[str]:
    """What was said, and the answers, which repeat it."""
    return [word for word in words for _ in range(2)]


@asynccontextmanager
async def looking_into(environ: Mapping[str, str]) -> AsyncIterator[HotCache]:
    """Redis as the test sees it, past every proxy."""
    cluster = "VOICE_HOT_CACHE__CLUSTER" in environ
    place = RedisPlace(url=environ["REDIS_URL"], cluster=cluster, timeout_s=5.0)
    client = HotClient(connect(place), clock=SystemClock(), timeout_s=5.0)
    try:
        yield HotCache(client, Keys(tenant=TENANT), ttl_s=60, most=2_000)
    finally:
        await client.aclose()


async def tail_holds(cache: HotCache, talk: str, words: list[str]) -> Tail:
    """Wait until the messages of the tail are ``words``."""
    async with asyncio.timeout(20.0):
        while True:
            with contextlib.suppress(LayerUnavailable):  # a client finds a new primary by failing
                tail = await cache.read(ConversationId(talk))
                held = [e.data for e in tail.entries if b'"kind":"message"' in e.data]
                if _are(held, words):
                    return tail
            await asyncio.sleep(0.05)


def _are(held: list[bytes], words: list[str]) -> bool:
    return len(held) == len(words) and all(
        f'"text":"{word}"'.encode() in data for word, data in zip(words, held, strict=True)
    )


def missing(backend: Backend, token: str, talk: str) -> list[dict[str, Any]]:
    with backend.client(token) as http:
        found: list[dict[str, Any]] = http.get(f"/v1/conversations/{talk}").json()["missing"]
        return found


@pytest.mark.parametrize("fault", ["killed", "flushed"])
async def test_redis_loses_everything_in_mid_call_and_is_warmed_again_from_the_outbox(
    backend: Backend, token: str, make_pod: MakePod, own_valkey: ValkeyServer, fault: str
) -> None:
    talk = resolve(backend, token, f"redis-{fault}")

    def happen() -> None:
        if fault == "killed":
            own_valkey.kill9()
            own_valkey.start()
        else:
            own_valkey.flush()

    told = {**own_valkey.env, **NAMED}
    async with make_pod("a", **told) as a, make_pod("b", **told) as b, looking_into(told) as cache:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        await tail_holds(cache, talk, twice("one"))
        await asyncio.to_thread(happen)
        await tail_holds(cache, talk, twice("one"))  # though nobody said anything
        await first.say("two")
        await tail_holds(cache, talk, twice("one", "two"))
        await first.hang_up()
        second = await (await b.dial("x", conversation=talk)).load()
        assert second.remembered == twice("one", "two")
        await second.hang_up()
        await wait_for(lambda: texts(backend, token, talk) == twice("one", "two"), within_s=20)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.SILENT])
async def test_a_pod_cut_off_from_redis_talks_on_and_the_tail_is_refilled_in_order(
    backend: Backend, token: str, make_pod: MakePod, own_valkey: ValkeyServer, fault: Fault
) -> None:
    talk = resolve(backend, token, f"cut-{fault.value}")
    told = {**own_valkey.env, **NAMED}
    async with FaultProxy(Target(host="127.0.0.1", port=own_valkey.port)) as network:
        url = own_valkey.url.replace(f":{own_valkey.port}/", f":{network.port}/")
        behind = {**told, "REDIS_URL": url}
        async with make_pod("a", **behind) as a, looking_into(told) as cache:
            first = await (await a.dial("x", conversation=talk)).load()
            await first.say("one")
            await tail_holds(cache, talk, twice("one"))
            await network.set(fault)
            await network.met_at_least(1)
            began = asyncio.get_running_loop().time()
            await first.say("two", "three", "four")
            assert asyncio.get_running_loop().time() - began < 2.0  # nobody in the call waits
            await wait_for(lambda: len(texts(backend, token, talk)) == 8, within_s=20)
            assert a.logged("redis is away or refuses")
            await tail_holds(cache, talk, twice("one"))
            await network.set(Fault.NONE)
            tail = await tail_holds(cache, talk, twice("one", "two", "three", "four"))
            assert [e.ordinal for e in tail.entries] == list(range(1, tail.ordinal + 1))
            await wait_for(lambda: a.logged("redis answers again"), within_s=20)
            await first.hang_up()


async def test_a_full_redis_costs_the_call_nothing(
    backend: Backend, token: str, make_pod: MakePod, own_valkey: ValkeyServer
) -> None:
    talk = resolve(backend, token, "full")
    told = {**own_valkey.env, **NAMED}
    async with make_pod("a", **told) as a, looking_into(told) as cache:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        await tail_holds(cache, talk, twice("one"))
        own_valkey.ask("CONFIG", "SET", "maxmemory", "1")
        await first.say("two")
        await wait_for(lambda: len(texts(backend, token, talk)) == 4, within_s=20)
        await wait_for(lambda: a.logged("redis is away or refuses"), within_s=20)
        own_valkey.ask("CONFIG", "SET", "maxmemory", "0")
        await tail_holds(cache, talk, twice("one", "two"))
        await first.hang_up()


async def test_a_cluster_node_dies_in_mid_call_and_another_pod_goes_on_from_its_replica(
    backend: Backend, token: str, make_pod: MakePod, valkey_cluster: ValkeyCluster
) -> None:
    talk = resolve(backend, token, "cluster")
    key = Keys(tenant=TENANT).tail(ConversationId(talk))
    holder = await asyncio.to_thread(valkey_cluster.holder_of, key)
    other = next(node for node in valkey_cluster.nodes if node is not holder)
    told = {**valkey_cluster.env, "REDIS_URL": other.url, **NAMED}
    async with make_pod("a", **told) as a, make_pod("b", **told) as b, looking_into(told) as cache:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        await tail_holds(cache, talk, twice("one"))
        await asyncio.to_thread(holder.kill9)
        await first.say("two", "three")
        await wait_for(lambda: len(texts(backend, token, talk)) == 6, within_s=20)
        await wait_for(lambda: _has_primary(valkey_cluster, key), within_s=20)
        await tail_holds(cache, talk, twice("one", "two", "three"))
        await first.hang_up()
        second = await (await b.dial("x", conversation=talk)).load()
        assert second.remembered == twice("one", "two", "three")
        assert "redis" in second.ready["source"]
        await second.hang_up()


def _has_primary(cluster: ValkeyCluster, key: str) -> bool:
    try:
        return cluster.holder_of(key).is_running
    except AssertionError:
        return False


async def test_of_a_lost_pod_only_what_neither_redis_nor_the_backend_had_is_missing_and_is_said(
    backend: Backend, token: str, make_pod: MakePod, own_valkey: ValkeyServer
) -> None:
    """No relay delivers; then Redis is cut off as well, and only heartbeats tell of more."""
    talk = resolve(backend, token, "partly-lost")
    told = {**own_valkey.env, **NAMED}
    async with FaultProxy(Target(host="127.0.0.1", port=own_valkey.port)) as network:
        url = own_valkey.url.replace(f":{own_valkey.port}/", f":{network.port}/")
        lost = make_pod("a", with_relay=False, **{**told, "REDIS_URL": url})
        async with lost as a, make_pod("b", **told) as b, looking_into(told) as cache:
            first = await (await a.dial("x", conversation=talk)).load()
            await first.say("one")
            kept = (await tail_holds(cache, talk, twice("one"))).ordinal
            await network.set(Fault.REFUSE)
            await first.say("two")
            await wait_for(lambda: _heard_of(backend, token, talk, first) > kept, within_s=20)
            await a.lose()
            second = await (await b.dial("x", conversation=talk)).load()
            assert second.remembered == twice("one")
            await wait_for(lambda: texts(backend, token, talk) == twice("one"), within_s=20)
            [gap] = missing(backend, token, talk)
            assert gap["writer_id"] == first.ready["writer"]
            assert kept <= gap["from"] - 1 < gap["to"]
            await second.hang_up()


def _heard_of(backend: Backend, token: str, talk: str, job: ScriptedJob) -> int:
    """How much the job's heartbeats told the backend that it wrote: a newcomer is told of it."""
    newcomer = {"writer_id": f"looks-{uuid4().hex}", "kind": "call", "started_at": SOME_DAY}
    with backend.client(token) as http:
        told = http.post(f"/v1/conversations/{talk}/writers", json=newcomer).json()
    said = {one["writer_id"]: int(one["last_ordinal"]) for one in told["previous"]}
    return said.get(job.ready["writer"], 0)


@pytest.mark.parametrize("backend_too", [False, True])
async def test_a_call_begins_while_redis_is_silent_and_is_shared_when_it_is_back(
    backend: Backend,
    token: str,
    make_pod: MakePod,
    proxy: FaultProxy,
    own_valkey: ValkeyServer,
    *,
    backend_too: bool,
) -> None:
    talk = resolve(backend, token, f"silent-at-start-{backend_too}")
    told = {**own_valkey.env, **NAMED}
    async with FaultProxy(Target(host="127.0.0.1", port=own_valkey.port)) as network:
        url = own_valkey.url.replace(f":{own_valkey.port}/", f":{network.port}/")
        behind = {**told, "REDIS_URL": url}
        async with make_pod("a", **behind) as a, looking_into(told) as cache:
            await network.set(Fault.SILENT)
            if backend_too:
                await proxy.set(Fault.REFUSE)
            first = await (await a.dial("x", conversation=talk)).load()
            await first.say("one")
            assert network.met
            await network.set(Fault.NONE)
            await proxy.set(Fault.NONE)
            await tail_holds(cache, talk, twice("one"))
            await wait_for(lambda: texts(backend, token, talk) == twice("one"), within_s=20)
            await first.hang_up()
