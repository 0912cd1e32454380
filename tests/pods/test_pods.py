"""Two pods, one conversation: whichever is called next goes on where the other was.

Real job and relay processes, a real backend, a real Valkey.
"""

import asyncio
from functools import partial

import pytest

from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import Fault, FaultProxy
from tests.backend.process import Backend
from tests.integration.relaying import kinds, resolve, texts
from tests.support.pods import MakePod, ScriptedJob
from tests.support.waiting import wait_for
from voice_agent.state.hot_lease import LEASE_S
from voice_agent.state.ownership import HEARTBEAT_S

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def pod(make_pod: MakePod, valkey: ValkeyServer) -> MakePod:
    """Make a pod that uses ``valkey``."""
    return partial(make_pod, **valkey.env)


async def test_a_call_on_another_pod_goes_on_from_redis(
    backend: Backend, token: str, pod: MakePod
) -> None:
    talk = resolve(backend, token, "two-pods")
    async with pod("a") as a, pod("b") as b:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one", "two")
        await first.hang_up()
        second = await (await b.dial("x", conversation=talk)).load()
        assert second.remembered == ["one", "one", "two", "two"]
        assert second.ready["source"] == "redis"
        await second.say("three")
        await second.hang_up()
        await wait_for(lambda: texts(backend, token, talk)[-1] == "three", within_s=20)
    assert texts(backend, token, talk) == [t for t in ("one", "two", "three") for _ in range(2)]


async def test_the_words_of_a_pod_lost_with_its_disk_reach_the_backend_from_redis(
    backend: Backend, token: str, pod: MakePod, proxy: FaultProxy
) -> None:
    """The backend is away for the pod alone; then the pod is gone, outbox and all."""
    talk = resolve(backend, token, "lost-pod")
    async with pod("a") as a, pod("b", BACKEND_URL=backend.url) as b:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        await wait_for(lambda: texts(backend, token, talk) == ["one", "one"], within_s=20)
        await proxy.set(Fault.REFUSE)
        await first.say("two", "three")
        assert texts(backend, token, talk) == ["one", "one"]
        await a.lose()
        second = await (await b.dial("x", conversation=talk)).load()
        assert second.remembered == ["one", "one", "two", "two", "three", "three"]
        await wait_for(lambda: len(texts(backend, token, talk)) == 6, within_s=20)
        await second.say("four")
        await wait_for(lambda: len(texts(backend, token, talk)) == 8, within_s=20)
    said = [t for t in ("one", "two", "three", "four") for _ in range(2)]
    assert texts(backend, token, talk) == said


async def _one_of(first: ScriptedJob, second: ScriptedJob) -> tuple[ScriptedJob, str]:
    """Two are called at once: who serves, and why the other one left."""
    shown = await asyncio.gather(*(job.shows_one_of("ready", "left") for job in (first, second)))
    served = [job for job, line in zip((first, second), shown, strict=True) if "ready" in line]
    left = [str(line["left"]) for line in shown if "left" in line]
    assert (len(served), len(left)) == (1, 1), shown
    return served[0], left[0]


@pytest.mark.parametrize("with_redis", [True, False])
async def test_of_two_agents_called_at_once_one_serves_and_the_other_leaves(
    backend: Backend, token: str, pod: MakePod, *, with_redis: bool
) -> None:
    talk = resolve(backend, token, f"two-at-once-{with_redis}")
    more = {} if with_redis else {"REDIS_URL": ""}
    async with pod("a", **more) as a, pod("b", **more) as b:
        both = [await each.dial("x", conversation=talk) for each in (a, b)]
        served, reason = await _one_of(*both)
        assert reason == "already_served"
        await served.say("one")
        await served.hang_up()
        await wait_for(lambda: texts(backend, token, talk) == ["one", "one"], within_s=20)


async def test_with_the_backend_away_redis_alone_decides_who_serves(
    backend: Backend, token: str, pod: MakePod, proxy: FaultProxy
) -> None:
    talk = resolve(backend, token, "redis-decides")
    await proxy.set(Fault.REFUSE)
    async with pod("a") as a, pod("b") as b:
        both = [await each.dial("x", conversation=talk) for each in (a, b)]
        served, reason = await _one_of(*both)
        assert reason == "already_served"
        await served.say("one")
        await proxy.set(Fault.NONE)
        await wait_for(lambda: texts(backend, token, talk) == ["one", "one"], within_s=20)


@pytest.mark.parametrize("with_redis", [True, False])
async def test_an_agent_that_was_paused_finds_another_in_its_place_and_says_no_more(
    backend: Backend, token: str, pod: MakePod, *, with_redis: bool
) -> None:
    """SIGSTOP, then SIGCONT. What it had said stays in its place."""
    talk = resolve(backend, token, f"paused-{with_redis}")
    more = {} if with_redis else {"REDIS_URL": ""}
    async with pod("a", **more) as a, pod("b", **more) as b:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        first.pause()
        second = await (await b.dial("x", conversation=talk)).load()
        assert second.remembered == ["one", "one"]
        await second.say("two")
        first.resume()
        left = await first.shows("left", within_s=HEARTBEAT_S + 1.0)
        assert left["left"] == "superseded"
        assert a.logged("lease lost: another agent owns the conversation")
        await second.say("three")
        await second.hang_up()
        await wait_for(lambda: len(texts(backend, token, talk)) == 6, within_s=20)
    assert texts(backend, token, talk) == [t for t in ("one", "two", "three") for _ in range(2)]


async def test_a_dead_jobs_lease_is_released_at_once_by_its_relay(
    backend: Backend, token: str, pod: MakePod
) -> None:
    talk = resolve(backend, token, "released")
    async with pod("a") as a, pod("b") as b:
        first = await (await a.dial("x", conversation=talk)).load()
        await first.say("one")
        await first.kill()
        await wait_for(lambda: "call_ended" in kinds(backend, token, talk), within_s=LEASE_S * 3)
        second = await b.dial("x", conversation=talk)
        await second.load()
        assert second.remembered == ["one", "one"]
