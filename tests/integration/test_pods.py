"""Two pods, one conversation: whichever is called next goes on where the other was.

Real job and relay processes, a real backend, a real Valkey.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import Fault, FaultProxy
from tests.backend.process import Backend
from tests.integration.relaying import resolve, texts
from tests.support.pods import Pod
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

MakePod = Callable[..., Pod]


@pytest.fixture
def pod(tmp_path: Path, proxy: FaultProxy, token: str, valkey: ValkeyServer) -> MakePod:
    """Make a pod by its name. Its backend is behind ``proxy``."""

    def make(name: str, **environ: str) -> Pod:
        folder = tmp_path / name
        folder.mkdir()
        told = {"BACKEND_URL": proxy.url, "BACKEND_TOKEN": token, **valkey.env, **environ}
        return Pod(folder, told)

    return make


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
