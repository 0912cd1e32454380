"""Everything around a call fails in turn; the call goes on and nothing that was said is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from livekit import api

from devtools.system import System
from simulators.outside import Outside, kill_job, outbox_headers
from tests.scenarios.calling import Calling, texts, until

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


@pytest.fixture
def own(start_system: Callable[..., System]) -> System:
    """A system that the test may break."""
    return start_system(departure_timeout_s=3)


@contextlib.asynccontextmanager
async def calling_on(system: System) -> AsyncIterator[Calling]:
    async with Outside(url=system.backend.url, token=system.backend.token) as outside:
        yield Calling(system=system, outside=outside)


async def test_the_backend_dies_in_mid_call_and_nobody_in_the_call_hears_it(
    own: System, spoken: Path
) -> None:
    """S1.29, S1.20: the outbox keeps what the backend could not take."""
    async with calling_on(own) as calling:
        async with calling.call() as (call, caller):
            await caller.turn(spoken / "name.wav")
            await asyncio.to_thread(own.backend.kill9)
            during = await caller.turn(spoken / "my_name.wav")
            assert "your name is" in during.heard.lower()
            await asyncio.to_thread(own.backend.start)
            after = await caller.turn(spoken / "home.wav")
            assert "remember" in after.heard.lower()
        messages = await calling.said(call.conversation_id, 3)
        assert texts(messages) == ["my name is ada lovelace", "what is my name", "i live in lisbon"]
        await calling.event(call.conversation_id, "call_ended")
        found = await calling.outside.conversation(call.conversation_id)
        assert found["missing"] == []


async def test_a_call_begins_while_the_backend_is_away_and_is_delivered_later(
    own: System, spoken: Path
) -> None:
    """ARCHITECTURE.md: a local key, a claimed fence, and the relay resolves."""
    async with calling_on(own) as calling:
        async with calling.call() as (call, caller):
            await caller.turn(spoken / "name.wav")
            await asyncio.to_thread(own.backend.kill9)
            kill_job(calling.outbox, call.room)  # and the agent that replaces it finds no backend
            await _dispatch(own, call.room, call.conversation_id)
            turn = await caller.turn(spoken / "home.wav")
            assert turn.heard
            await asyncio.to_thread(own.backend.start)
            messages = await calling.said(call.conversation_id, 2)
        assert texts(messages) == ["my name is ada lovelace", "i live in lisbon"]


async def _dispatch(system: System, room: str, conversation_id: str) -> None:
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
    outbox = system.worker.outbox

    async def serving() -> bool:
        headers = await asyncio.to_thread(outbox_headers, outbox)
        return bool(sum(h.get("room") == room for h in headers.values()) >= 2)

    await until(serving)
    await asyncio.sleep(1.0)  # until its session listens: nothing outside says so


async def test_valkey_dies_in_mid_call_and_the_call_goes_on(own: System, spoken: Path) -> None:
    async with calling_on(own) as calling, calling.call() as (call, caller):
        await asyncio.to_thread(own.valkey.kill9)
        turn = await caller.turn(spoken / "name.wav")
        assert turn.heard
        await calling.said(call.conversation_id, 1)


async def test_the_speech_process_dies_in_mid_call_and_the_next_words_are_understood(
    own: System, spoken: Path
) -> None:
    async with calling_on(own) as calling, calling.call() as (_call, caller):
        await caller.turn(spoken / "name.wav")
        speech = next(p for p in psutil.Process(own.worker.pid).children(recursive=True)
                      if "speech_server" in " ".join(p.cmdline()))  # fmt: skip
        os.kill(speech.pid, signal.SIGKILL)
        turn = await caller.turn(spoken / "my_name.wav", timeout_s=40)
        assert "your name is" in turn.heard.lower()


async def test_a_worker_that_is_killed_loses_no_word_and_its_calls_are_ended(
    own: System, spoken: Path
) -> None:
    """kill -9 of the worker takes its jobs along; the relay outlives it and delivers."""
    async with calling_on(own) as calling:
        async with calling.call() as (call, caller):
            await caller.turn(spoken / "name.wav")
            await asyncio.to_thread(own.worker.kill9)
            ended = await calling.event(call.conversation_id, "call_ended")
        assert ended["reason"] == "agent_died"
        messages = await calling.said(call.conversation_id, 1)
        assert texts(messages) == ["my name is ada lovelace"]
        assert len(texts(messages, "assistant")) == 2


async def test_a_stopped_worker_ends_its_calls_cleanly_and_leaves_no_process(
    own: System, spoken: Path
) -> None:
    async with calling_on(own) as calling:
        async with calling.call() as (call, caller):
            await caller.turn(spoken / "name.wav")
            await asyncio.to_thread(own.worker.stop)
            ended = await calling.event(call.conversation_id, "call_ended")
        assert ended["reason"] == "agent_stopped"
        assert not list(calling.outbox.glob("*.outbox"))
