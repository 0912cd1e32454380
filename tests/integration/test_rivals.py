"""The fences that agents show each other in a room, on a real LiveKit server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Literal

import pytest
from livekit import api, rtc

from devtools.servers.livekit import LiveKitServer
from tests.support.waiting import wait_for
from voice_agent.aio.clock import new_id
from voice_agent.room.rivals import FENCE_ATTRIBUTE, Rivals

Join = Callable[..., Awaitable[rtc.Room]]


@pytest.fixture
async def join(livekit_server: LiveKitServer) -> AsyncIterator[Join]:
    """Join one room as an agent, or as a person."""
    env, name = livekit_server.env, new_id()

    async with AsyncExitStack() as joined:

        async def enter(identity: str, *, kind: Literal["agent", "standard"]) -> rtc.Room:
            grants = api.VideoGrants(room_join=True, room=name, can_update_own_metadata=True)
            token = (
                api.AccessToken(env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"])
                .with_identity(identity)
                .with_kind(kind)
                .with_grants(grants)
            )
            room = rtc.Room()
            await room.connect(env["LIVEKIT_URL"], token.to_jwt())
            joined.push_async_callback(room.disconnect)
            return room

        yield enter


async def test_the_fence_of_another_agent_is_seen_when_it_is_shown_and_when_we_come_late(
    join: Join,
) -> None:
    ours = await join("ours", kind="agent")
    seen: list[int] = []
    Rivals(ours, on_fence=seen.append).watch()
    await ours.local_participant.set_attributes({FENCE_ATTRIBUTE: "5"})  # our own is no rival's
    theirs = await join("theirs", kind="agent")
    person = await join("person", kind="standard")
    await person.local_participant.set_attributes({FENCE_ATTRIBUTE: "9"})
    await theirs.local_participant.set_attributes({FENCE_ATTRIBUTE: "no fence"})
    await theirs.local_participant.set_attributes({FENCE_ATTRIBUTE: "7"})
    await wait_for(lambda: seen)
    assert seen == [7]

    late: list[int] = []
    Rivals(await join("late", kind="agent"), on_fence=late.append).watch()
    await wait_for(lambda: len(late) == 2)
    assert sorted(late) == [5, 7]
