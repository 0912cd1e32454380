"""What every test gets: guards that fail it for what it leaves behind, and the real servers."""

import os
import secrets

import pytest

from devtools import processes
from devtools.servers.server import OURS
from tests.support import guards
from tests.support.databases import database  # noqa: F401 - see below
from tests.support.guards import (  # noqa: F401 - fixtures are known where they are imported
    blocking_calls_fail,
    no_task_outlives_the_test,
    nothing_outlives_the_test,
    sockets_stay_on_loopback,
)
from tests.support.servers import (  # noqa: F401 - see above
    _system,
    _valkey,
    backend,
    chromium,
    livekit_server,
    own_valkey,
    ports,
    postgres,
    start_system,
    system,
    valkey,
    valkey_cluster,
    worker,
)

REAL_TIME = {
    *("scenarios", "web", "providers", "backend"),
    *("pods", "storage", "gemini", "contract", "integration"),
}
"""Folders of real rooms, audio and process starts, on two shared cores: one of these tests may be
run again, and the summary says so (RERUN). What fails three times in a row fails."""
SURVIVORS = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """Mark every process that this session starts, and drop settings of a sourced shell."""
    guards.forget_our_settings(OURS)
    os.environ[processes.MARK] = f"tests-{secrets.token_hex(6)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    guards.guard_async_tests(items)
    for item in items:
        if REAL_TIME & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End and report processes that outlived the session, detached ones included."""
    left = guards.survivors(os.environ[processes.MARK])
    session.config.stash[SURVIVORS] = left
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left = config.stash.get(SURVIVORS, [])
    if left:
        terminalreporter.section("processes that outlived the tests (ended now)", red=True)
        for line in left:
            terminalreporter.write_line(line)
