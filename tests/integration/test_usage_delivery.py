"""What was used up reaches the backend once, whatever becomes of processes and answers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.fault_proxy import Fault, FaultProxy
from tests.backend.log_client import ok
from tests.backend.process import Backend
from tests.integration.programs import JobProgram, RelayProgram
from tests.integration.relaying import kinds, until

LISTENED = {
    "service": "stt", "provider": "script", "model": "listener", "counts": {"audio_s": 0.5},
}  # fmt: skip


def wrote(requests: int) -> dict[str, Any]:
    """What answering so many questions took."""
    return {
        "service": "llm", "provider": "script", "model": "writer", "counts": {"requests": requests},
    }  # fmt: skip


def usage(backend: Backend, token: str, conversation: str) -> dict[str, Any]:
    with backend.client(token) as http:
        return ok(http.get(f"/v1/conversations/{conversation}/usage"))


@pytest.fixture
def begin(backend: Backend, token: str, folder: Path) -> Iterator[Callable[[], JobProgram]]:
    """Begin a call of the conversation: a job process of its own."""
    jobs: list[JobProgram] = []

    def make() -> JobProgram:
        key = f"usage-{folder.parent.name}"
        jobs.append(JobProgram(folder, key=key, url=backend.url, token=token))
        return jobs[-1]

    yield make
    for job in jobs:
        job.kill()


async def test_a_job_that_was_killed_and_its_successor_add_up_and_the_running_turn_is_lost(
    backend: Backend, token: str, folder: Path, begin: Callable[[], JobProgram]
) -> None:
    with RelayProgram(folder, url=backend.url, token=token).running():
        first = begin()
        first.say("one")
        first.say("two")
        first.ask("three")
        first.kill()
        second = begin()
        second.say("four")
        second.hang_up()
        talk = second.conversation_id
        await until(lambda: kinds(backend, token, talk).count("call_ended") == 2)
    found = usage(backend, token, talk)
    assert [call["items"] for call in found["calls"]] == [[wrote(1), LISTENED], [wrote(2)]]
    assert found["items"] == [wrote(3), LISTENED]


async def test_what_is_delivered_again_after_a_lost_answer_counts_once(
    backend: Backend,
    proxy: FaultProxy,
    token: str,
    folder: Path,
    begin: Callable[[], JobProgram],
) -> None:
    """The backend stores the batch, and then the end, and the relay hears so only much later."""
    job = begin()

    def items() -> Any:
        return usage(backend, token, job.conversation_id)["items"]

    with RelayProgram(folder, url=proxy.url, token=token).running():
        job.say("one")
        await until(lambda: items() == [wrote(1)])
        await proxy.set(Fault.LOSE_ANSWERS)
        job.say("two")
        job.say("three")
        await proxy.met_at_least(3)
        await proxy.set(Fault.NONE)
        await until(lambda: items() == [wrote(3)])
        await proxy.set(Fault.LOSE_ANSWERS)
        job.hang_up()
        await proxy.met_at_least(3)
        assert job.path.exists()
        await proxy.set(Fault.NONE)
        await until(lambda: not job.path.exists())
    assert items() == [wrote(3), LISTENED]
