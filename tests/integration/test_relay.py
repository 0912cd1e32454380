"""The relay brings everything that was written to the backend: once, in order, whatever fails.

Real outbox files, a real backend, real faults between them.
"""

import asyncio
import json
from pathlib import Path

import pytest

from simulators.fault_proxy import Fault, FaultProxy
from tests.backend.process import Backend
from tests.integration.calls import WrittenCall
from tests.integration.relaying import kinds, relaying, resolve, texts, until
from voice_agent.state.folder import AnotherRelay, only_relay_of


async def test_what_is_written_while_the_call_runs_arrives_at_once(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "live")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    async with relaying(folder, url=backend.url, token=token):
        call.say("hello")
        await until(lambda: texts(backend, token, conversation) == ["hello"])
        call.say("again")
        await until(lambda: texts(backend, token, conversation) == ["hello", "again"])
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert kinds(backend, token, conversation)[-1] == "call_ended"


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.SILENT, Fault.LOSE_ANSWERS, Fault.SLOW])
async def test_turns_spoken_during_a_fault_arrive_once_and_in_order(
    backend: Backend, token: str, folder: Path, proxy: FaultProxy, fault: Fault
) -> None:
    conversation = resolve(backend, token, f"fault-{fault.value}")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    async with relaying(folder, url=proxy.url, token=token) as counted:
        call.say("before")
        await until(lambda: texts(backend, token, conversation) == ["before"])
        await proxy.set(fault)
        for number in range(30):
            call.say(f"during {number}")
        await proxy.met_at_least(1)
        await until(lambda: counted.retries > 0)
        await proxy.set(Fault.NONE)
        call.say("after")
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == call.said
    assert kinds(backend, token, conversation).count("call_ended") == 1


async def test_a_backend_killed_in_mid_delivery_loses_and_doubles_nothing(
    own_backend: Backend, folder: Path
) -> None:
    token = own_backend.token("agent")
    conversation = resolve(own_backend, token, "killed")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    async with relaying(folder, url=own_backend.url, token=token) as counted:
        for number in range(60):
            call.say(f"turn {number}")
            if number in {20, 40}:
                own_backend.kill()
                await until(lambda: counted.retries > 0)
                counted.retries = 0
                await asyncio.to_thread(own_backend.start)
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert texts(own_backend, token, conversation) == call.said


async def test_the_last_words_of_a_dead_job_arrive_and_its_end_is_recorded(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "dead")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("my last words")
    call.die()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["my last words"]
    with backend.client(token) as http:
        events = http.get(f"/v1/conversations/{conversation}/events").json()["items"]
    assert events[-1]["kind"] == "call_ended"
    assert events[-1]["reason"] == "agent_died"


async def test_a_torn_last_record_is_quarantined_and_hides_no_neighbour(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "torn")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("whole")
    call.say("torn")
    call.die()
    with call.path.open("r+b") as file:
        file.truncate(call.path.stat().st_size - 5)
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["whole", "torn"]
    assert "lost" in kinds(backend, token, conversation)
    assert len(list((folder / "quarantine").iterdir())) == 1


async def test_a_call_that_began_without_a_backend_is_resolved_by_its_key(
    backend: Backend, token: str, folder: Path
) -> None:
    call = await asyncio.to_thread(WrittenCall, folder, key="room-away")
    call.say("hello?")
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    conversation = resolve(backend, token, "room-away")
    assert texts(backend, token, conversation) == ["hello?"]


async def test_an_event_that_the_backend_refuses_is_dead_lettered_and_the_others_go_on(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "refused")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("one")
    call.ordinal += 1
    poisoned = {"v": 1, "event_id": "bad id!", "ordinal": call.ordinal, "kind": "message"}
    call.outbox.append(call.ordinal, json.dumps(poisoned).encode())
    call.say("two")
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["one", "two"]
    assert kinds(backend, token, conversation).count("lost") == 1
    letters = (folder / "dead" / f"{call.writer_id}.jsonl").read_text().splitlines()
    assert json.loads(letters[0])["event"]["event_id"] == "bad id!"


async def test_with_a_wrong_token_nothing_is_thrown_away(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "wrong-token")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("keep me")
    async with relaying(folder, url=backend.url, token="wrong", drain_s=0.1) as counted:
        await until(lambda: counted.aside.count("refused") > 1)
        call.hang_up()
    assert call.path.exists()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["keep me"]


def test_a_folder_has_one_relay(folder: Path) -> None:
    with only_relay_of(folder), pytest.raises(AnotherRelay), only_relay_of(folder):
        pass


async def test_two_writers_of_one_conversation_keep_their_order(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "two-writers")
    first = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    first.say("first call")
    first.die()
    second = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    second.say("second call")
    second.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not first.path.exists() and not second.path.exists())
    assert texts(backend, token, conversation) == ["first call", "second call"]
