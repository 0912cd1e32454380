"""The real servers as fixtures. A server that cannot start fails the test: nothing is skipped.

``system`` is shared by the whole session, so a test uses rooms and conversations of its own there;
a test that breaks something takes ``start_system``.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.ports import Ports
from devtools.programs import CHROMIUMS, find_chromium
from devtools.servers.backend import Backend
from devtools.servers.livekit import LiveKitConfig, LiveKitServer
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Place, clean_environment
from devtools.servers.valkey import ValkeyServer
from devtools.servers.worker import Worker
from devtools.system import Plan, System
from tests.support.cluster import ValkeyCluster


def place_in(folder: Path) -> Place:
    """Return a place whose servers know nothing of this shell's settings."""
    return Place(folder=folder, environ=clean_environment())


@pytest.fixture(scope="session")
def ports() -> Ports:
    """Free ports; each is given once in a session."""
    return Ports()


@pytest.fixture(scope="session")
def livekit_server(
    tmp_path_factory: pytest.TempPathFactory, ports: Ports
) -> Iterator[LiveKitServer]:
    """A LiveKit server without a worker."""
    place = place_in(tmp_path_factory.mktemp("livekit"))
    with LiveKitServer(place, config=LiveKitConfig.on_free_ports(ports)) as server:
        yield server


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[ValkeyServer]:
    with ValkeyServer(place_in(tmp_path_factory.mktemp("valkey")), port=ports.free()) as server:
        yield server


@pytest.fixture
def valkey(_valkey: ValkeyServer) -> ValkeyServer:
    """A running Valkey with nothing in it."""
    if not _valkey.is_running:  # the test before killed it
        _valkey.start()
    _valkey.flush()
    return _valkey


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[PostgresServer]:
    """A PostgreSQL; each test makes a database of its own (``tests.support.databases``)."""
    place = place_in(tmp_path_factory.mktemp("postgres"))
    with PostgresServer(place, port=ports.free(), durable=False) as server:
        yield server


@pytest.fixture
def own_valkey(tmp_path: Path, ports: Ports) -> Iterator[ValkeyServer]:
    """A Valkey that the test may kill."""
    with ValkeyServer(place_in(tmp_path / "valkey"), port=ports.free()) as server:
        yield server


@pytest.fixture
def valkey_cluster(tmp_path: Path, ports: Ports) -> Iterator[ValkeyCluster]:
    """A Valkey cluster of three primaries with a replica each; the test may kill its nodes."""
    with ValkeyCluster(tmp_path / "cluster", ports, place_in) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def backend(
    tmp_path_factory: pytest.TempPathFactory, ports: Ports, livekit_server: LiveKitServer
) -> Iterator[Any]:
    """A backend with an empty database of its own and ``livekit_server``; ``token`` is admin."""
    server = Backend(
        place_in(tmp_path_factory.mktemp("backend")),
        port=ports.free(),
        metrics_port=ports.free(),
        uses=[livekit_server],
    )
    with server:
        yield server


@pytest.fixture(scope="session")
def _system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(Plan.on_free_ports(place_in(tmp_path_factory.mktemp("system")))) as system:
        yield system


@pytest.fixture
def system(_system: System) -> Iterator[System]:
    """LiveKit, Valkey, backend and worker, running; all tests of the session share them."""
    for server in reversed(_system.servers):
        if not server.is_running:
            server.start()
    yield _system
    dead = [server.name for server in _system.servers if not server.is_running]
    assert not dead, f"ended during this test: {', '.join(dead)} (start_system, if on purpose)"


@pytest.fixture
def worker(system: System) -> Worker:
    """The worker of ``system``; its backend is ``system.backend``."""
    return system.worker


@pytest.fixture
def start_system(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Start a system of the test's own, which it may break.

    Options are those of ``Plan.on_free_ports``: ``departure_timeout_s``, ``worker_environ``; and
    ``environ`` for all its programs.
    """
    started: list[System] = []

    def start(*, environ: dict[str, str] | None = None, **options: Any) -> System:
        place = place_in(tmp_path / f"system-{len(started)}").with_environ(environ or {})
        system = System(Plan.on_free_ports(place, **options))
        started.append(system)
        system.start()
        return system

    yield start
    for system in started:
        system.stop()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium or Chrome."""
    found = find_chromium()
    if found is None:
        pytest.fail(f"no Chromium: put one of {', '.join(CHROMIUMS)} on PATH (make test may, too)")
    return found
