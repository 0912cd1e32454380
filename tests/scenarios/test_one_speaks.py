"""Two agents come to one conversation: in real rooms one of them speaks, the other says why not."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit import api

from devtools.system import System
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_outages import calling_on

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


async def dispatch(system: System, room: str, conversation_id: str) -> None:
    """What an operator does by hand with ``lk dispatch create``."""
    env = system.env
    async with api.LiveKitAPI(
        env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]
    ) as livekit:
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=env["VOICE_AGENT_NAME"],
                room=room,
                metadata=f'{{"conversation_id":"{conversation_id}"}}',
            )
        )


async def ends(calling: Calling, conversation_id: str, *reasons: str) -> list[dict[str, Any]]:
    """Wait for an end of a writer with one of these reasons."""

    async def look() -> list[dict[str, Any]]:
        ended = await calling.outside.events(conversation_id, "call_ended")
        return [event for event in ended if event["reason"] in reasons]

    return await until(look)


def answers(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in messages if m["role"] == "assistant"]


async def one_of_two_serves(calling: Calling, spoken: Path) -> None:
    """Dispatch a second agent into a running call; it leaves, and is not heard."""
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        await dispatch(calling.system, call.room, call.conversation_id)
        await ends(calling, call.conversation_id, "already_served")
        turn = await caller.turn(spoken / "my_name.wav")
        assert "your name is" in turn.heard.lower()
        messages = await calling.said(call.conversation_id, 2)
    assert texts(messages) == ["my name is ada lovelace", "what is my name"]
    assert len({m["writer_id"] for m in answers(messages)}) == 1


async def test_a_second_agent_in_the_room_leaves_and_every_question_has_one_answer(
    calling: Calling, spoken: Path
) -> None:
    await one_of_two_serves(calling, spoken)


async def test_without_redis_a_second_agent_leaves_as_well(
    start_system: Callable[..., System], spoken: Path
) -> None:
    async with calling_on(start_system(worker_environ={"REDIS_URL": ""})) as calling:
        await one_of_two_serves(calling, spoken)


async def test_an_agent_that_stood_still_says_no_more_when_another_has_taken_over(
    calling: Calling, spoken: Path
) -> None:
    """SIGSTOP in the middle of a call; another agent comes; SIGCONT."""
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        [first] = {m["writer_id"] for m in await calling.said(call.conversation_id, 1)}
        pid = await calling.pid(call.room)
        attempts = (await calling.outside.call_state(call.room))["attempts"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await calling.joined(call.room, after_attempts=attempts)
            during = await caller.turn(spoken / "my_name.wav", timeout_s=40)
            assert "your name is" in during.heard.lower()
        finally:
            os.kill(pid, signal.SIGCONT)
        after = await caller.turn(spoken / "home.wav", timeout_s=40)
        assert "remember" in after.heard.lower()
        messages = await calling.said(call.conversation_id, 3)
        await until(lambda: _gone(pid))
    by_first = [m for m in answers(messages) if m["writer_id"] == first]
    others = [m for m in answers(messages) if m["writer_id"] != first]
    assert messages.index(by_first[-1]) < messages.index(others[0])
    assert texts(messages) == ["my name is ada lovelace", "what is my name", "i live in lisbon"]


async def _gone(pid: int) -> bool:
    def look() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    return await asyncio.to_thread(look)
