"""Who is called: our whole system, and workers to compare with, on one LiveKit with one voice.

One speech process serves all of them, so that they differ only in what is round it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from livekit import api

from benchmarks.workers.jobs import METRICS, WORKER
from devtools.paths import VENV, python_of
from devtools.servers.livekit import LiveKitServer
from devtools.servers.server import Place, Server, clean_environment
from devtools.servers.worker import REGISTERED
from devtools.system import Plan, System
from simulators.outside import Outside

SOCKET = "VOICE_LOCAL__SOCKET"
SERVER_FILE = "benchmarks/workers/server.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Admission to a room to which an agent was asked."""

    url: str
    token: str
    key: str  # finds the stage times


class Contender(Protocol):
    """Somebody who can be called."""

    name: str

    async def open(self) -> Ticket:
        """Ask for an agent; return admission to its room."""

    async def stages(self, ticket: Ticket) -> list[dict[str, float]]:
        """Return the stage times of the turns so far, in seconds."""


class Ours:
    """Our system, called as the page calls it."""

    name = "ours"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def open(self) -> Ticket:
        """Ask the backend for a call."""
        opened = await self._outside.open_call()
        return Ticket(url=opened.url, token=opened.token, key=opened.conversation_id)

    async def stages(self, ticket: Ticket) -> list[dict[str, float]]:
        """Read the delays of ``turn_ended`` from the backend."""
        events = await self._outside.events(ticket.key, "turn_ended")
        return [dict(event["delays"]) for event in events if event.get("delays")]


STAGES = {
    "transcription_delay": "transcription_s",
    "end_of_turn_delay": "end_of_turn_s",
    "llm_node_ttft": "llm_ttft_s",
    "tts_node_ttfb": "tts_ttfb_s",
    "e2e_latency": "e2e_s",
}


@dataclass(slots=True, kw_only=True)
class Other:
    """A worker to compare with."""

    name: str
    livekit: LiveKitServer
    metrics: Path
    lkapi: api.LiveKitAPI = field(repr=False)

    async def open(self) -> Ticket:
        """Dispatch by name into a new room."""
        room = f"{self.name}-{uuid.uuid4().hex[:12]}"
        request = api.CreateAgentDispatchRequest(agent_name=self.name, room=room)
        await self.lkapi.agent_dispatch.create_dispatch(request)
        config = self.livekit.config
        grants = api.VideoGrants(room_join=True, room=room)
        token = (
            api.AccessToken(config.key, config.secret).with_identity("caller").with_grants(grants)
        )
        return Ticket(url=self.livekit.url, token=token.to_jwt(), key=room)

    async def stages(self, ticket: Ticket) -> list[dict[str, float]]:
        """Read what the worker noted; a turn is a line of the user and the next of the agent."""
        lines = [json.loads(line) for line in self.metrics.read_text().splitlines()]
        turns: list[dict[str, float]] = []
        for line in (line for line in lines if line["room"] == ticket.key):
            if line["role"] == "user":
                turns.append({})
            if turns:
                turns[-1] |= {ours: line[name] for name, ours in STAGES.items() if name in line}
        return turns


class OtherWorker(Server):
    """The program of a worker to compare with."""

    ready_s = 30.0
    stop_s = 1.0  # it would wait for its calls to end; nothing of it is kept

    def __init__(self, place: Place, kind: str, *, livekit: LiveKitServer) -> None:
        super().__init__(place, uses=[livekit])
        self.kind = kind
        self.metrics = place.folder / f"{kind}.jsonl"
        self.log_path = place.folder / "logs" / f"{kind}.log"
        self.mark = f"{place.mark}/{kind}"

    name = "other"

    @property
    def env(self) -> dict[str, str]:
        """Nobody uses it."""
        return {}

    def settings(self) -> dict[str, str]:
        """Which worker it is, and where it notes stage times."""
        self.metrics.touch()
        return {WORKER: self.kind, METRICS: str(self.metrics), "PYTHONPATH": "."}

    def command(self) -> list[str]:
        """Return the command line."""
        return [str(python_of(VENV)), "-m", "livekit.agents", "start", SERVER_FILE]

    def is_ready(self) -> bool:
        """Whether a call can be dispatched to it."""
        return REGISTERED in self.log()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A running system and the workers beside it."""

    system: System
    others: tuple[OtherWorker, ...]

    @contextlib.asynccontextmanager
    async def contenders(self) -> AsyncIterator[dict[str, Contender]]:
        """Everybody who can be called, by name."""
        backend, livekit = self.system.backend, self.system.livekit
        config = livekit.config
        async with (
            Outside(url=backend.url, token=backend.token) as outside,
            api.LiveKitAPI(livekit.url, config.key, config.secret) as lkapi,
        ):
            found: dict[str, Any] = {"ours": Ours(outside)}
            for worker in self.others:
                found[worker.kind] = Other(
                    name=worker.kind, livekit=livekit, metrics=worker.metrics, lkapi=lkapi
                )
            yield found


@contextlib.contextmanager
def arena(*kinds: str, worker_environ: dict[str, str] | None = None) -> Iterator[Arena]:
    """Start the system and workers of these kinds; end them all, also after a SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        told = {SOCKET: str(folder / "speech.sock"), **(worker_environ or {})}
        place = Place(folder=folder, environ=clean_environment())
        plan = Plan.on_free_ports(place, departure_timeout_s=1, worker_environ=told)
        system = open_.enter_context(System(plan))
        others = tuple(
            open_.enter_context(OtherWorker(place.with_environ(told), kind, livekit=system.livekit))
            for kind in kinds
        )
        yield Arena(system=system, others=others)
