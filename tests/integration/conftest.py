"""A real backend, a fault proxy before it, and a relay of ours."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend_client import BackendClient, backend_http
from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import FaultProxy, Target
from tests.backend.process import Backend
from voice_agent.aio.clock import SystemClock
from voice_agent.state.hot_client import HotClient, RedisPlace, connect


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One backend for the tests of a module that do not break it."""
    server = Backend(tmp_path_factory.mktemp("backend"))
    yield server.start()
    server.stop()


@pytest.fixture
def own_backend(tmp_path: Path) -> Iterator[Backend]:
    """A backend that the test may kill; started."""
    folder = tmp_path / "backend"
    folder.mkdir()
    server = Backend(folder)
    yield server.start()
    server.kill()


@pytest.fixture(scope="module")
def token(backend: Backend) -> str:
    """A token that may do what the agent does."""
    return backend.token("agent")


@pytest.fixture
async def client(backend: Backend, token: str) -> AsyncIterator[BackendClient]:
    """A client of the real backend."""
    async with backend_http(url=backend.url, token=token, timeout_s=5) as http:
        yield BackendClient(http, timeout_s=5)


@pytest.fixture
async def proxy(backend: Backend) -> AsyncIterator[FaultProxy]:
    """A proxy before the backend that can misbehave."""
    async with FaultProxy(Target(host="127.0.0.1", port=backend.port)) as proxy:
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An outbox folder."""
    made = tmp_path / "outbox"
    made.mkdir()
    return made


@pytest.fixture
async def redis_client(valkey: ValkeyServer) -> AsyncIterator[HotClient]:
    """A client of a real Valkey with nothing in it."""
    commands = connect(RedisPlace(url=valkey.url))
    client = HotClient(commands, clock=SystemClock(), timeout_s=2.0)
    yield client
    await client.aclose()
