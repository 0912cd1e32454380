"""A person speaks in a real room, is answered, every word is stored once (S1.6, S1.28, S1.30)."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from livekit import api, rtc
from livekit.agents.voice.remote_session import RemoteSession, RoomSessionTransport

from simulators.caller import Caller
from simulators.outside import kill_job
from tests.scenarios.calling import Calling, plain, texts, until

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]


async def test_a_spoken_sentence_is_answered_and_stored_once_with_its_speaker(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call(name="Ada") as (call, caller):
        turn = await caller.turn(spoken / "time_tokyo.wav")
        assert "tokyo" in turn.heard.lower()
        messages = await calling.said(call.conversation_id, 1)
        await calling.event(call.conversation_id, "turn_ended")
    asked = [m for m in messages if m["role"] == "user"]
    assert [plain(m["text"]) for m in asked] == ["what time is it in tokyo"]
    assert asked[0]["speaker"] == {"identity": call.identity, "name": "Ada"}
    assert asked[0]["modality"] == "voice"
    events = await calling.outside.events(call.conversation_id)
    of_turn = [e["kind"] for e in events if e.get("turn_id") == asked[0]["turn_id"]]
    assert of_turn[0] == "turn_started"
    assert of_turn.count("message") == 2
    assert of_turn.index("tool_call") + 1 == of_turn.index("tool_result")
    assert of_turn[-1] == "turn_ended"
    assert [m["role"] for m in await calling.outside.messages(call.conversation_id)] == [
        "assistant",
        "user",
        "assistant",
    ]


async def test_an_interrupted_reply_is_stored_as_it_was_heard(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (call, caller):
        await caller.say(spoken / "count.wav")
        await caller.state("speaking")
        await asyncio.sleep(2.5)  # as long as a person listens before breaking in
        await caller.interrupt(spoken / "stop.wav")
        messages = await until(lambda: _with_interruption(calling, call.conversation_id))
    reply = next(m for m in messages if m["interrupted"])
    assert "one" in plain(reply["text"])
    assert "twenty" not in plain(reply["text"])
    assert len(plain(reply["text"]).split()) < 15
    assert "interruption" in {e["kind"] for e in await calling.outside.events(call.conversation_id)}


async def _with_interruption(calling: Calling, conversation: str) -> list[dict[str, Any]] | None:
    messages = await calling.outside.messages(conversation)
    cut = any(m["role"] == "assistant" and m["interrupted"] for m in messages)
    return messages if cut and len(texts(messages)) == 2 else None


async def test_typed_words_are_answered_aloud_and_stored_as_text(calling: Calling) -> None:
    async with calling.call() as (call, caller):
        await caller.type("My name is Grace Hopper")
        heard = await caller.hear()
        assert "grace" in heard.words.lower()
        messages = await calling.said(call.conversation_id, 1)
    typed = next(m for m in messages if m["role"] == "user")
    assert typed["modality"] == "text"
    assert typed["speaker"]["identity"] == call.identity


async def test_two_rooms_are_two_processes_and_one_crash_touches_one_room(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (first, _), calling.call() as (second, other):
        assert await calling.pid(first.room) != await calling.pid(second.room)
        kill_job(calling.outbox, first.room)
        turn = await other.turn(spoken / "name.wav")
        assert "ada" in turn.heard.lower() or "love" in turn.heard.lower()
        ended = await calling.event(first.conversation_id, "call_ended")
        assert ended["reason"] == "agent_died"


async def test_after_a_crash_a_new_agent_goes_on_without_a_greeting_and_remembers(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        attempts = (await calling.outside.call_state(call.room))["attempts"]
        kill_job(calling.outbox, call.room)
        await calling.joined(call.room, after_attempts=attempts)
        turn = await caller.turn(spoken / "my_name.wav")
        assert "your name is" in turn.heard.lower()
        messages = await calling.said(call.conversation_id, 2)
    assert texts(messages) == ["my name is ada lovelace", "what is my name"]
    greetings = [t for t in texts(messages, "assistant") if "how can i help" in t]
    assert len(greetings) == 1
    assert texts(messages, "assistant")[-1] == "your name is ada lovelace"


async def test_whoever_comes_back_to_the_room_is_answered(calling: Calling, spoken: Path) -> None:
    """A plain worker stays mute for good here."""
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
    async with Caller.join(call.url, call.token) as again:
        turn = await again.turn(spoken / "my_name.wav")
        assert "your name is" in turn.heard.lower()
    events = await calling.outside.events(call.conversation_id, "participant_left")
    assert events[0]["participant"]["identity"] == call.identity


async def test_no_participant_can_read_the_prompt(calling: Calling, spoken: Path) -> None:
    """livekit-agents 1.8.9 serves anybody who asks, unless session_host is off."""
    async with calling.call() as (call, caller):
        async with joined(calling, call.room, "mallory") as mallory:
            agent = next(p for p in mallory.remote_participants.values()
                         if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)  # fmt: skip
            session = RemoteSession(RoomSessionTransport(mallory, agent.identity))
            await session.start()
            with pytest.raises((TimeoutError, RuntimeError)):
                async with asyncio.timeout(3):
                    await session.get_agent_info()
            await session.aclose()
        async with joined(calling, call.room, "bystander") as bystander:
            received: list[str] = []
            bystander.register_byte_stream_handler(
                "lk.agent.session", lambda _reader, identity: received.append(identity)
            )
            await caller.turn(spoken / "name.wav")
            assert received == []


@contextlib.asynccontextmanager
async def joined(calling: Calling, room: str, identity: str) -> AsyncIterator[rtc.Room]:
    """Somebody with no right but to be in the room."""
    env = calling.system.env
    token = api.AccessToken(env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"])
    token.with_identity(identity).with_grants(api.VideoGrants(room_join=True, room=room))
    person = rtc.Room()
    await person.connect(env["LIVEKIT_URL"], token.to_jwt())
    try:
        yield person
    finally:
        await person.disconnect()


async def test_a_room_that_somebody_else_made_gets_a_pointer(calling: Calling) -> None:
    """Dispatched by name alone, as any LiveKit client does: the room is the key (S1.1)."""
    env = calling.system.env
    async with api.LiveKitAPI(
        env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]
    ) as livekit:
        room = f"foreign-{os.urandom(4).hex()}"
        await livekit.room.create_room(
            api.CreateRoomRequest(name=room, metadata='{"theme":"dark","conversation_id":"../x"}')
        )
        await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=env["VOICE_AGENT_NAME"], room=room)
        )

        async def pointed() -> dict[str, str] | None:
            rooms = await livekit.room.list_rooms(api.ListRoomsRequest(names=[room]))
            fields = json.loads(rooms.rooms[0].metadata)
            return fields if fields["conversation_id"] != "../x" else None

        fields = await until(pointed)
        assert set(fields) == {"theme", "conversation_id"}
        found = await calling.outside.conversation(fields["conversation_id"])
        assert found["session_number"] == 0
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))


async def test_a_deleted_room_ends_the_call_with_its_reason_and_its_process(
    calling: Calling,
) -> None:
    env = calling.system.env
    async with (
        api.LiveKitAPI(
            env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]
        ) as livekit,
        calling.call() as (call, _),
    ):
        pid = await calling.pid(call.room)
        await livekit.room.delete_room(api.DeleteRoomRequest(room=call.room))
        ended = await calling.event(call.conversation_id, "call_ended")
        assert ended["reason"] == "room_deleted"
        await until(lambda: _gone(pid), within_s=15)


async def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_signals_to_a_job_process_do_not_end_its_call(calling: Calling, spoken: Path) -> None:
    """``docker stop`` signals the whole group; the worker answers for it."""
    async with calling.call() as (call, caller):
        pid = await calling.pid(call.room)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        turn = await caller.turn(spoken / "name.wav")
        assert turn.heard
        assert await calling.pid(call.room) == pid


async def test_a_clear_reaches_the_running_agent_before_it_is_acknowledged(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        answer = await calling.outside.clear(call.conversation_id)
        assert answer["acknowledged"] is True
        assert answer["session_number"] == 1
        turn = await caller.turn(spoken / "my_name.wav")
        assert "ada" not in turn.heard.lower()
        messages = await calling.said(call.conversation_id, 2)
    assert [m["session_number"] for m in messages if m["role"] == "user"] == [0, 1]


async def test_a_caller_has_the_agent_forget_and_it_says_so_and_does(calling: Calling) -> None:
    """By the tool: stored before the reply, and the next word meets an empty window."""

    async def asked(text: str, reply: str) -> None:
        await caller.type(text)
        await caller.transcript(reply, mine=False)
        await caller.state("listening")

    async with calling.call() as (call, caller):
        await asked("My name is Grace Hopper", "Nice to meet you, Grace Hopper")
        await asked("What is my name?", "Your name is Grace Hopper")
        await asked("Please forget everything.", "Everything that was said before is forgotten")
        await asked("What is my name?", "You have not told me your name yet")
        cleared = await calling.event(call.conversation_id, "context_cleared")
        messages = await calling.said(call.conversation_id, 4)
    assert (cleared["session_number"], cleared["reason"]) == (1, "asked for in the call")
    assert [m["session_number"] for m in messages if m["role"] == "user"] == [0, 0, 0, 1]
    (forgotten,) = [m for m in messages if m["text"].startswith("Everything that was said")]
    assert forgotten["session_number"] == 0
    result = (await calling.outside.events(call.conversation_id, "tool_result"))[-1]
    assert (result["name"], result["is_error"]) == ("clear_conversation", False)


async def test_worker_and_relay_count_what_jobs_do(calling: Calling, spoken: Path) -> None:
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        await calling.said(call.conversation_id, 1)
        worker = await fetched(calling.system.worker.metrics_url)
        relay = await fetched(calling.system.worker.relay_metrics_url)
    rooms = next(line for line in worker.splitlines() if line.startswith("voice_rooms "))
    assert float(rooms.split()[1]) >= 1
    assert 'voice_turn_delay_seconds_count{stage="e2e"}' in worker
    assert 'voice_turns_total{outcome="completed"}' in worker
    assert "lk_agents_active_job_count" in worker
    delivered = next(line for line in relay.splitlines()
                     if line.startswith("voice_relay_delivered_total"))  # fmt: skip
    assert float(delivered.split()[1]) > 5


async def fetched(url: str) -> str:
    """What Prometheus would read."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(url)).text
