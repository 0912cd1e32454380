"""A real speech server for the tests of the embedded voice."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.providers.servers import START_S, ServerProcess


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A short path: pytest's own folders are too long for a Unix socket on some systems."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        yield Path(folder) / "speech.sock"


@pytest.fixture(scope="session")
def speech_socket() -> Iterator[Path]:
    """The socket of a speech server that all tests share."""
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        server = ServerProcess(Path(folder) / "speech.sock")
        server.start()
        yield server.socket_path
        server.stop()


@pytest.fixture
def server(socket_path: Path) -> Iterator[ServerProcess]:
    """A speech server of one test's own, not started yet."""
    own = ServerProcess(socket_path)
    yield own
    with contextlib.suppress(AssertionError, ProcessLookupError):
        if own.process.returncode is None:
            os.kill(own.process.pid, signal.SIGKILL)
            own.process.wait(START_S)
            if own.process.stdout:
                own.process.stdout.close()
