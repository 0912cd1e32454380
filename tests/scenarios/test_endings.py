"""Every ending of a call is recorded once, with its reason, and its process is gone (issue 5)."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from livekit import api

from devtools.system import System
from simulators.caller import Caller
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_outages import calling_on
from tests.scenarios.test_spoken_calls import _gone

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

GONE_WITHIN_S = 15.0


async def ended(calling: Calling, conversation: str) -> list[str]:
    """The reasons recorded, once there is one."""
    await calling.event(conversation, "call_ended")
    return [e["reason"] for e in await calling.outside.events(conversation, "call_ended")]


async def test_the_caller_leaves_and_the_room_closes(start_system: Callable[..., System]) -> None:
    async with calling_on(start_system(departure_timeout_s=3)) as calling:
        async with calling.call() as (call, _):
            pid = await calling.pid(call.room)
        assert await ended(calling, call.conversation_id) == ["caller_left"]
        await until(lambda: _gone(pid), within_s=GONE_WITHIN_S)


async def test_nobody_ever_joins(calling: Calling) -> None:
    call = await calling.outside.open_call()
    await calling.joined(call.room)
    pid = await calling.pid(call.room)
    async with livekit_of(calling) as livekit:
        await livekit.room.delete_room(api.DeleteRoomRequest(room=call.room))
    assert await ended(calling, call.conversation_id) == ["no_caller"]
    await until(lambda: _gone(pid), within_s=GONE_WITHIN_S)


async def test_a_call_that_outlasts_the_drain_hears_a_sentence_and_is_continued(
    start_system: Callable[..., System], spoken: Path
) -> None:
    """SIGTERM with a running call; the next worker goes on with nothing lost."""
    system = start_system()
    async with calling_on(system) as calling, calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        stopping = asyncio.ensure_future(asyncio.to_thread(system.worker.stop))
        goodbye = await caller.hear(timeout_s=30)
        assert "moment" in goodbye.words.lower()
        await stopping
        assert await ended(calling, call.conversation_id) == ["agent_stopped"]
        attempts = (await calling.outside.call_state(call.room))["attempts"]
        await asyncio.to_thread(system.worker.start)
        await calling.outside.send_agent(call.room)
        await calling.joined(call.room, after_attempts=attempts)
        turn = await caller.turn(spoken / "my_name.wav")
        assert "your name is" in turn.heard.lower()
        messages = await calling.said(call.conversation_id, 2)
    assert texts(messages) == ["my name is ada lovelace", "what is my name"]


async def test_the_livekit_server_is_restarted_in_mid_call_and_the_call_goes_on(
    start_system: Callable[..., System], spoken: Path
) -> None:
    """Both sides join again by themselves; nothing said is lost, nobody is greeted twice."""
    system = start_system()
    async with calling_on(system) as calling, calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        reconnected = asyncio.Event()
        caller.room.on("reconnected", reconnected.set)
        caller.room.on("participant_connected", lambda _: reconnected.set())
        await asyncio.to_thread(system.livekit.kill9)
        await asyncio.to_thread(system.livekit.start)
        async with asyncio.timeout(60):
            await reconnected.wait()
        await caller.state("listening", timeout_s=60)

        async def answered() -> bool:
            try:
                turn = await caller.turn(spoken / "my_name.wav", timeout_s=8)
            except TimeoutError:
                return False  # its track is on its way back
            return "your name is" in turn.heard.lower()

        await until(answered, within_s=60)
        messages = await calling.said(call.conversation_id, 2)
        assert texts(messages)[0] == "my name is ada lovelace"
        assert sum("how can i help" in t for t in texts(messages, "assistant")) == 1


async def test_the_same_identity_joins_twice_and_the_second_is_answered(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (call, _first):
        async with Caller.join(call.url, call.token) as second:
            turn = await second.turn(spoken / "name.wav")
            assert turn.heard
        await calling.said(call.conversation_id, 1)


async def test_a_caller_whose_machine_crashed_is_answered_when_back(
    calling: Calling, spoken: Path
) -> None:
    """LiveKit notices after 20 s; the same identity is picked up again, before or after."""
    call = await calling.outside.open_call()
    machine = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.caller", "--url", call.url, "--token", call.token,
        "--say", str(spoken / "name.wav"), str(spoken / "story.wav"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    await calling.said(call.conversation_id, 1)
    machine.send_signal(signal.SIGKILL)
    await machine.wait()
    async with Caller.join(call.url, call.token) as back:
        turn = await back.turn(spoken / "my_name.wav", timeout_s=40)
        assert "your name is" in turn.heard.lower()


async def test_our_own_code_fails_and_the_end_is_recorded(
    start_system: Callable[..., System], spoken: Path, tmp_path: Path
) -> None:
    """An exception in the entrypoint: the persona file vanished after the start."""
    persona = tmp_path / "agent.toml"
    persona.write_text((Path("config") / "agent.toml").read_text())
    system = start_system(worker_environ={"VOICE_CALL__AGENT_FILE": str(persona)})
    async with calling_on(system) as calling:
        persona.write_text('name = "x"')
        call = await calling.outside.open_call()
        async with Caller.join(call.url, call.token):
            pid_gone = await ended(calling, call.conversation_id)
        assert pid_gone[0] == "agent_failed"


def livekit_of(calling: Calling) -> api.LiveKitAPI:
    """LiveKit's server API of the system."""
    env = calling.system.env
    return api.LiveKitAPI(env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"])
