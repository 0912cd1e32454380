"""A relay of ours in the test's own process, and what the backend then has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from backend_client import BackendClient, backend_http
from tests.backend.process import Backend
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import SystemClock
from voice_agent.state.folder import only_relay_of
from voice_agent.state.relay import Relay, RelaySettings

WITHIN_S = 20.0


class Counted:
    """A port's plain fake: counts what the relay reports."""

    def __init__(self) -> None:
        self.retries = 0
        self.aside: list[str] = []

    def delivered(self, count: int) -> None: ...

    def retried(self, error_type: str) -> None:
        self.retries += 1

    def set_aside(self, kind: str) -> None:
        self.aside.append(kind)

    def backlog(self, files: int, events: int) -> None: ...


@contextlib.asynccontextmanager
async def relaying(
    folder: Path, *, url: str, token: str, drain_s: float = WITHIN_S
) -> AsyncIterator[Counted]:
    """A relay in this process; leaving the block drains it."""
    counted = Counted()
    settings = RelaySettings(folder=folder, look_s=0.05, drain_s=drain_s, refused_rest_s=0.1,
                             backoff=Backoff(base_s=0.02, cap_s=0.2))  # fmt: skip
    async with backend_http(url=url, token=token, timeout_s=1) as http:
        with contextlib.ExitStack() as locked:
            lock = await asyncio.to_thread(locked.enter_context, only_relay_of(folder))
            relay = Relay(settings, backend=BackendClient(http, timeout_s=1), clock=SystemClock(),
                          events=counted, lock=lock)  # fmt: skip
            running = asyncio.get_running_loop().create_task(relay.run())
            try:
                yield counted
            finally:
                relay.stop()
                await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.02)


def resolve(backend: Backend, token: str, key: str) -> str:
    with backend.client(token) as http:
        return str(http.post("/v1/conversations:resolve", json={"key": key}).json()["id"])


def texts(backend: Backend, token: str, conversation: str) -> list[str]:
    with backend.client(token) as http:
        answer = http.get(f"/v1/conversations/{conversation}/messages", params={"last": 200})
        return [message["text"] for message in answer.json()["items"]]


def kinds(backend: Backend, token: str, conversation: str) -> list[str]:
    with backend.client(token) as http:
        answer = http.get(f"/v1/conversations/{conversation}/events", params={"limit": 1000})
        return [event["kind"] for event in answer.json()["items"]]
