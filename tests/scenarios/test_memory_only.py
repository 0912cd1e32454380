"""No BACKEND_URL: everything works but persistence, and the worker says so (docs/own-backend.md).

A real LiveKit server and a real worker; no backend, no Redis.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from livekit import api

from devtools import processes
from devtools.ports import Ports
from devtools.servers.livekit import LiveKitServer
from devtools.servers.server import answers
from devtools.servers.worker import Worker
from simulators.caller import Caller
from tests.scenarios.calling import WITHIN_S, until
from tests.support.servers import place_in

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

AGENT = "without-backend"


@pytest.fixture
def alone(tmp_path: Path, ports: Ports, livekit_server: LiveKitServer) -> Iterator[Worker]:
    """A worker that has LiveKit and nothing else."""
    place = place_in(tmp_path).with_environ(
        {"VOICE_AGENT_NAME": AGENT, "VOICE_LOG__FORMAT": "json"}
    )
    where = (ports.free(), ports.free(), ports.free())
    with Worker(place, ports=where, uses=[livekit_server]) as worker:
        yield worker


def caller_token(livekit: LiveKitServer, room: str, identity: str) -> str:
    """A token that brings the agent into the room, as a site without a backend makes it."""
    brought = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=AGENT)])
    token = api.AccessToken(livekit.config.key, livekit.config.secret).with_identity(identity)
    grants = api.VideoGrants(room_join=True, room=room)
    return token.with_grants(grants).with_room_config(brought).to_jwt()


def commands(worker: Worker) -> list[str]:
    """The command lines of everything that a worker has started."""
    found = [Path(f"/proc/{one.pid}/cmdline") for one in processes.marked(worker.mark)]
    return [" ".join(path.read_text().split("\0")).strip() for path in found if path.exists()]


def logged(worker: Worker) -> list[dict[str, object]]:
    """What a worker and its jobs have logged."""
    return [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]


def lines(worker: Worker, message: str) -> list[dict[str, object]]:
    """The log lines that say this."""
    return [line for line in logged(worker) if line["message"] == message]


def is_ours(line: dict[str, object]) -> bool:
    """LiveKit's client logs an error when a room closes before it has let go of it."""
    return str(line["name"]).startswith("voice_agent")


async def ended(worker: Worker) -> bool:
    """Whether a job has logged the end of its call."""
    return bool(lines(worker, "call ended"))


async def test_without_a_backend_the_agent_answers_remembers_within_the_call_and_keeps_nothing(
    alone: Worker, livekit_server: LiveKitServer, spoken: Path
) -> None:
    said_at_start = [line for line in alone.log().splitlines() if "memory-only" in line]
    assert len(said_at_start) == 1
    assert re.match(
        r"agent: no BACKEND_URL: memory-only mode, nothing .* is kept", said_at_start[0]
    )
    room = "kept-nowhere"
    async with Caller.join(livekit_server.url, caller_token(livekit_server, room, "ada")) as caller:
        await caller.hear(timeout_s=WITHIN_S)
        await caller.turn(spoken / "name.wav")
        await caller.type("What is my name?")
        await caller.transcript("your name is ada lovelace", mine=False, timeout_s=WITHIN_S)
        assert [line for line in commands(alone) if line.endswith("agent.py relay")] == []
        assert answers(alone.relay_metrics_port, "/metrics") is None
    await until(lambda: ended(alone), within_s=60.0)
    assert [line["session_number"] for line in lines(alone, "call begins")] == [0]
    assert not alone.outbox.exists()
    assert [line for line in logged(alone) if line["level"] == "ERROR" and is_ours(line)] == []
