"""A resumption handle is taken once, by whoever comes first, and ages out: with Redis and without.

Both stores keep one contract.
"""

import asyncio
from collections.abc import Callable

import pytest

from voice_agent.aio.clock import SystemClock
from voice_agent.domain.ids import ConversationId
from voice_agent.state.handles import OwnHandles, ProviderHandles, SharedHandles
from voice_agent.state.hot_client import HotClient
from voice_agent.state.keys import Keys

TALK = ConversationId("talk")
SECRET = b"handle \x00\xff with a space"


@pytest.fixture(params=["own", "shared"])
def handles(request: pytest.FixtureRequest, redis_client: HotClient) -> ProviderHandles:
    makers: dict[str, Callable[[], ProviderHandles]] = {
        "own": lambda: OwnHandles(SystemClock()),
        "shared": lambda: SharedHandles(redis_client, Keys(tenant="acme")),
    }
    return makers[request.param]()


async def test_a_handle_is_taken_once_also_by_two_at_once(handles: ProviderHandles) -> None:
    assert await handles.take(TALK) is None
    await handles.save(TALK, 7, SECRET, 60)
    taken = await asyncio.gather(*(handles.take(TALK) for _ in range(4)))
    assert sorted(taken, key=bool) == [None, None, None, SECRET]


async def test_an_older_writer_puts_no_handle_in_the_place_of_a_newer_one(
    handles: ProviderHandles,
) -> None:
    await handles.save(TALK, 8, b"newer", 60)
    await handles.save(TALK, 7, b"older", 60)
    assert await handles.take(TALK) == b"newer"
    await handles.save(TALK, 7, b"older", 60)  # also when the newer one was taken
    assert await handles.take(TALK) is None
    await handles.save(TALK, 8, b"its next", 60)
    assert await handles.take(TALK) == b"its next"


async def test_a_handle_ages_out_and_belongs_to_its_conversation(handles: ProviderHandles) -> None:
    await handles.save(TALK, 7, SECRET, 0.001)
    await handles.save(ConversationId("other"), 7, b"other", 60)
    await asyncio.sleep(0.05)  # its whole life
    assert await handles.take(TALK) is None
    assert await handles.take(ConversationId("other")) == b"other"


async def test_another_tenant_does_not_see_it(redis_client: HotClient) -> None:
    await SharedHandles(redis_client, Keys(tenant="acme")).save(TALK, 7, SECRET, 60)
    assert await SharedHandles(redis_client, Keys(tenant="other")).take(TALK) is None


async def test_nothing_prints_a_handle() -> None:
    handles = OwnHandles(SystemClock())
    await handles.save(TALK, 7, b"secret", 60)
    assert "secret" not in repr(vars(handles))
