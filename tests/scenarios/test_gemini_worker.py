"""The whole system with ``VOICE_PROVIDER=gemini``: real worker, backend, Redis, rooms and sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.system import System
from simulators.gemini.behaviour import Refusal
from simulators.gemini.certificate import contexts
from simulators.gemini.senses import Listening, beeps, scripted
from simulators.gemini.server import GeminiServer
from simulators.outside import kill_job
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_outages import calling_on
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


async def test_a_call_with_gemini_survives_a_cut_and_a_killed_agent_and_forgets_nothing(
    start_system: Callable[..., System], spoken: Path, tmp_path: Path
) -> None:
    server = hearing(tmp_path, "my name is ada", "what is my name", "and again")
    async with server.serving():
        system = start_system(worker_environ=chosen(server, tmp_path))
        async with calling_on(system) as calling, calling.call() as (call, caller):

            async def outcomes() -> list[dict[str, Any]]:
                events = await calling.outside.events(call.conversation_id, "reconnect")
                return [{"outcome": e["outcome"], **e["detail"]} for e in events]

            await caller.say(spoken / "my_name.wav")
            await calling.said(call.conversation_id, 1)
            await wait_for(lambda: server.now.is_idle, within_s=10)
            server.now.cut()
            assert (await until(outcomes))[0]["outcome"] == "resumed"
            await caller.say(spoken / "name.wav")
            await calling.said(call.conversation_id, 2)
            await until(lambda: _replies(calling, call.conversation_id, 3))
            before = server.conversation.said
            kill_job(calling.outbox, call.room)
            renewed = await until(lambda: _later(outcomes, 2))
            assert (renewed[1]["outcome"], renewed[1]["cause"]) == ("resumed", "another process")
            assert server.conversation.said[: len(before)] == before
            await caller.say(spoken / "hello.wav")
            messages = await calling.said(call.conversation_id, 3)
            assert texts(messages) == ["my name is ada", "what is my name", "and again"]
            assert [text for role, text in server.conversation.said if role == "user"] == texts(
                messages
            )


async def test_when_gemini_is_gone_for_good_the_embedded_voice_goes_on_with_the_call(
    start_system: Callable[..., System], spoken: Path, tmp_path: Path
) -> None:
    server = hearing(tmp_path, "my name is ada")
    async with server.serving():
        system = start_system(worker_environ=chosen(server, tmp_path))
        async with calling_on(system) as calling, calling.call() as (call, caller):
            await caller.say(spoken / "name.wav")
            await calling.said(call.conversation_id, 1)
            await until(lambda: _replies(calling, call.conversation_id, 2))
            server.behaviour.refusals = [Refusal(code=1008, times=99, with_handle_only=False)]
            server.now.cut()
            failed = await calling.event(call.conversation_id, "reconnect")
            assert failed["outcome"] == "failed"
            turn = await caller.turn(spoken / "time_tokyo.wav")
            assert turn.heard
            await caller.transcript("in Tokyo", mine=False)
            messages = await calling.said(call.conversation_id, 2)
            assert texts(messages) == ["my name is ada", "what time is it in tokyo"]


async def test_a_clear_in_a_call_with_gemini_makes_the_service_forget(
    start_system: Callable[..., System], spoken: Path, tmp_path: Path
) -> None:
    server = hearing(tmp_path, "my name is ada", "what is my name")
    async with server.serving():
        system = start_system(worker_environ=chosen(server, tmp_path))
        async with calling_on(system) as calling, calling.call() as (call, caller):
            await caller.say(spoken / "my_name.wav")
            await calling.said(call.conversation_id, 1)
            await until(lambda: _replies(calling, call.conversation_id, 2))
            cleared = await calling.outside.clear(call.conversation_id)
            assert (cleared["session_number"], cleared["acknowledged"]) == (1, True)
            await caller.say(spoken / "name.wav")
            messages = await calling.said(call.conversation_id, 2)
            await until(lambda: _replies(calling, call.conversation_id, 3))
            users = [text for role, text in server.conversation.said if role == "user"]
            assert users == ["what is my name"]
            assert [one["session_number"] for one in messages if one["role"] == "user"] == [0, 1]


def hearing(folder: Path, *said: str) -> GeminiServer:
    """A service that understands one utterance after the other as these words, and beeps."""
    return GeminiServer(ears=Listening(scripted([*said])), voice=beeps, tls=contexts(folder))


def chosen(server: GeminiServer, folder: Path) -> dict[str, str]:
    """The settings of a worker that uses this server."""
    return {
        "VOICE_PROVIDER": "gemini",
        "GOOGLE_API_KEY": "none",
        "VOICE_GEMINI__BASE_URL": server.url,
        "VOICE_GEMINI__CA_FILE": str(folder / "certificate.pem"),
    }


async def _replies(calling: Calling, conversation: str, count: int) -> bool:
    """Whether so many replies were played to their end and recorded."""
    return len(texts(await calling.outside.messages(conversation), "assistant")) >= count


async def _later(look: Callable[[], Any], count: int) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = await look()
    return found if len(found) >= count else None
