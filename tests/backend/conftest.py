"""Servers for the tests of the backend."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.backend.log_client import Log
from tests.backend.process import Backend
from tests.support.databases import Database


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[Backend]:
    """One backend for all tests that do not break it; each makes conversations of its own."""
    folder = tmp_path_factory.mktemp("backend")
    server = Backend(folder, VOICE_BACKEND__LEASE_S="0.4", **database.settings(folder))
    yield server.start()
    assert server.stop() == 0
    assert '"level": "ERROR"' not in server.log()


@pytest.fixture(scope="session")
def http(backend: Backend) -> Iterator[httpx.Client]:
    """A client with an admin token."""
    with backend.client(backend.token()) as client:
        yield client


@pytest.fixture
def log(http: httpx.Client) -> Log:
    """A fresh conversation."""
    return Log.resolve(http)


@pytest.fixture
def own_backend(tmp_path: Path, database: Database) -> Iterator[Backend]:
    """A backend that the test may kill; not started yet."""
    server = Backend(tmp_path, **database.settings(tmp_path))
    yield server
    server.kill()


@pytest.fixture
def backend_pages(backend: Backend) -> Iterator[httpx.Client]:
    """A client of a tenant that has no conversations yet."""
    with backend.client(backend.token(tenant="pages")) as client:
        yield client
