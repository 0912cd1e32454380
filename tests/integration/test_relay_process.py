"""``agent.py relay`` as an operator runs it: alone, stopped, killed, before a dead backend."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.fault_proxy import Fault, FaultProxy
from tests.backend.process import Backend
from tests.integration.calls import WrittenCall
from tests.integration.programs import JobProgram, RelayProgram, stop
from tests.integration.relaying import kinds, resolve, texts, until


def set_aside(folder: Path) -> list[str]:
    """What a person would have to look at: dead letters and quarantined bytes."""
    return [path.name for path in folder.iterdir() if path.is_dir()]


@pytest.fixture
def job(backend: Backend, token: str, folder: Path) -> Iterator[JobProgram]:
    """A call of a real job process."""
    program = JobProgram(folder, key=f"job-{folder.parent.name}", url=backend.url, token=token)
    yield program
    program.kill()


async def test_the_last_words_of_a_killed_job_arrive_and_no_new_job_is_needed(
    backend: Backend, token: str, folder: Path, job: JobProgram
) -> None:
    with RelayProgram(folder, url=backend.url, token=token).running():
        job.say("one")
        job.say("two")
        job.kill()
        await until(lambda: "call_ended" in kinds(backend, token, job.conversation_id))
        await until(lambda: not job.path.exists())
    assert texts(backend, token, job.conversation_id) == ["one", "one", "two", "two"]


async def test_a_relay_that_is_killed_is_followed_by_one_that_doubles_nothing(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "relay-killed")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    relay = RelayProgram(folder, url=backend.url, token=token)
    for round_ in range(3):
        with relay.running():  # leaving is a kill -9
            call.say(f"round {round_}")
            await until(lambda: texts(backend, token, conversation) == call.said)
        call.say(f"while nobody looks {round_}")
    with relay.running():
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == call.said
    assert kinds(backend, token, conversation).count("call_ended") == 1


async def test_a_stopped_relay_drains_what_it_can_reach(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "relay-drained")
    relay = RelayProgram(folder, url=backend.url, token=token)
    with relay.running() as process:
        await until(lambda: relay.says("relay started"))
        call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
        for number in range(40):
            call.say(str(number))
        call.hang_up()
        await asyncio.to_thread(stop, process)
    assert texts(backend, token, conversation) == call.said
    assert not call.path.exists()


async def test_a_relay_that_reaches_nobody_stops_in_time_and_the_next_one_goes_on(
    backend: Backend, proxy: FaultProxy, token: str, folder: Path
) -> None:
    """``silent`` is the worst of it: accepted, and never answered."""
    conversation = resolve(backend, token, "relay-silent")
    relay = RelayProgram(folder, url=proxy.url, token=token, drain_s=1.0)
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    await proxy.set(Fault.SILENT)
    with relay.running() as process:
        call.say("during the outage")
        await proxy.met_at_least(1)
        took_s = await asyncio.to_thread(stop, process)
    assert took_s < 5.0  # drain_s, one request's deadline and a busy machine
    assert call.path.exists()
    with RelayProgram(folder, url=backend.url, token=token).running():
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["during the outage"]


async def test_while_the_disk_is_full_the_call_goes_on_and_afterwards_everything_is_there(
    backend: Backend, token: str, folder: Path, job: JobProgram
) -> None:
    """A real job process before a real limit of the kernel, which tears the record at it."""
    with RelayProgram(folder, url=backend.url, token=token).running():
        job.say("before")
        job.leave_room_for(100)
        job.say("full one")
        job.say("full two")
        assert "outbox takes no records" in job.log.read_text()
        assert "full one" not in texts(backend, token, job.conversation_id)
        job.free_the_disk()
        job.say("after")
        said = ["before", "full one", "full two", "after"]
        await until(
            lambda: texts(backend, token, job.conversation_id) == [w for s in said for w in (s, s)]
        )
        job.hang_up()
        await until(lambda: not job.path.exists())
    assert "outbox takes records again" in job.log.read_text()
    assert "lost" not in kinds(backend, token, job.conversation_id)
    assert await asyncio.to_thread(set_aside, folder) == []
