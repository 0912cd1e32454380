"""``pytest tests/contract --url URL --token TOKEN``; without them: our own backend, on SQLite."""

from collections.abc import Generator, Iterator

import httpx
import pytest

from tests.backend.log_client import Log
from tests.backend.process import Backend
from tests.contract.promises import client_of, line_of, new_log

BROKEN = pytest.StashKey[list[str]]()
KEEPS = 600
ABOUT_OURSELVES = ["test_broken_servers.py", "test_fuzz.py"]
"""Files that try the suite, or our own backend: not for a server named with ``--url``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract", "the server whose promises are proved")
    group.addoption("--url", help="where it is, without /v1; none: our own backend")
    group.addoption("--token", help="a token of scope agent")
    group.addoption(
        "--keeps", type=int, help="how many events of a conversation it keeps; none: not looked at"
    )
    group.addoption("--foreign-token", help="one of another tenant; none: not looked at")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BROKEN] = []
    if _option(config, "--url") and not _option(config, "--token"):
        raise pytest.UsageError("--url needs --token: one of scope agent")


def pytest_ignore_collect(collection_path: object, config: pytest.Config) -> bool | None:
    name = getattr(collection_path, "name", "")
    return True if name in ABOUT_OURSELVES and _option(config, "--url") else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and isinstance(item, pytest.Function) and item.function.__doc__:
        error = call.excinfo.value if call.excinfo else None
        item.config.stash.setdefault(BROKEN, []).append(line_of(item.function, error))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    broken: list[str] = config.stash.get(BROKEN, [])
    if broken:
        terminalreporter.section("broken promises", red=True)
        for line in dict.fromkeys(broken):
            terminalreporter.write_line(f"BROKEN: {line}")


def _option(config: pytest.Config, name: str) -> str | None:
    """Read an option; unknown when pytest was not given this folder by name."""
    value: str | None = config.getoption(name, default=None)
    return value


@pytest.fixture(scope="session", autouse=True)
def sockets_stay_on_loopback(request: pytest.FixtureRequest) -> None:
    """Unless a server elsewhere was named."""
    if _option(request.config, "--url") is None:
        request.getfixturevalue("sockets_stay_on_loopback")


@pytest.fixture(scope="session")
def own_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Our own backend, with leases that end soon, and no more events than one test needs."""
    server = Backend(
        tmp_path_factory.mktemp("backend"),
        VOICE_BACKEND__LEASE_S="1",
        VOICE_BACKEND__RETENTION_EVENTS=str(KEEPS),
        VOICE_BACKEND__RETENTION_LOOK_S="0.5",
    )
    yield server.start()
    assert server.stop() == 0
    assert '"level": "ERROR"' not in server.log()


@pytest.fixture(scope="session")
def token(request: pytest.FixtureRequest) -> str:
    """A token of scope agent."""
    given = _option(request.config, "--token")
    if _option(request.config, "--url") and given:
        return given
    backend: Backend = request.getfixturevalue("own_backend")
    return backend.token("agent")


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> str:
    """Where the server is."""
    given = _option(request.config, "--url")
    if given:
        return given.rstrip("/").removesuffix("/v1")
    backend: Backend = request.getfixturevalue("own_backend")
    return backend.url


@pytest.fixture(scope="session")
def http(url: str, token: str) -> Iterator[httpx.Client]:
    """The agent's client."""
    with client_of(url, token) as client:
        yield client


@pytest.fixture(scope="session")
def foreign(request: pytest.FixtureRequest, url: str) -> Iterator[httpx.Client]:
    """A client of another tenant."""
    given = _option(request.config, "--foreign-token")
    if given is None:
        if _option(request.config, "--url"):
            pytest.skip("--foreign-token was not given: another tenant cannot be played")
        backend: Backend = request.getfixturevalue("own_backend")
        given = backend.token("agent", tenant="foreign")
    with client_of(url, given) as client:
        yield client


@pytest.fixture
def keeps(request: pytest.FixtureRequest) -> int:
    """How many events of a conversation the server keeps."""
    if _option(request.config, "--url") is None:
        return KEEPS
    given = request.config.getoption("--keeps")
    if given is None:
        pytest.skip("--keeps was not given: retention cannot be provoked")
    return int(given)


@pytest.fixture
def log(http: httpx.Client) -> Log:
    """A fresh conversation."""
    return new_log(http)
