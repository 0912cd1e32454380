"""Who may do what: tokens, scopes, tenants."""

from collections.abc import Callable

import httpx
import pytest

from tests.backend.log_client import AT, Log, event, message, ok, refused
from tests.backend.process import Backend
from tests.backend.waiting import eventually
from tests.support.databases import Database

Request = Callable[[httpx.Client, str], httpx.Response]

READS: dict[str, Request] = {
    "get": lambda http, path: http.get(path),
    "events": lambda http, path: http.get(f"{path}/events"),
    "messages": lambda http, path: http.get(f"{path}/messages"),
}
WRITES: dict[str, Request] = {
    "clear": lambda http, path: http.post(f"{path}/clear", json={"event_id": "c"}),
    "register": lambda http, path: http.post(
        f"{path}/writers", json={"writer_id": "x", "kind": "call", "started_at": AT}
    ),
    "lease": lambda http, path: http.put(f"{path}/writers/w/lease", json={"last_ordinal": 0}),
    "end": lambda http, path: http.post(f"{path}/writers/w/end", json={"reason": "r", "at": AT}),
    "store": lambda http, path: http.post(
        f"{path}/events", json={"writer_id": "w", "events": [event(9)]}
    ),
}
ALL = READS | WRITES


@pytest.fixture
def written(log: Log) -> Log:
    """A conversation with a writer and a message."""
    log.register("w")
    log.store("w", message(1))
    return log


@pytest.mark.parametrize("request_", ALL.values(), ids=ALL.keys())
def test_another_tenants_conversation_is_unknown(
    backend: Backend, written: Log, request_: Request
) -> None:
    """The answer is the very same as for an id that does not exist."""
    with backend.client(backend_token(backend, "admin", "rival")) as rival:
        foreign = refused(request_(rival, written.path), 404)
        unknown = refused(request_(rival, "/v1/conversations/none"), 404)
    assert foreign == unknown
    assert written.shown()["last_position"] == 1


_TOKENS: dict[tuple[str, str, str], str] = {}


def backend_token(backend: Backend, scope: str, tenant: str = "acme") -> str:
    """Make a token once per scope and tenant: each costs a process."""
    if (backend.url, scope, tenant) not in _TOKENS:
        _TOKENS[backend.url, scope, tenant] = backend.token(scope, tenant)
    return _TOKENS[backend.url, scope, tenant]


@pytest.mark.parametrize("scope", ["read", "call"])
@pytest.mark.parametrize("request_", WRITES.values(), ids=WRITES.keys())
def test_a_token_that_may_read_may_not_write(
    backend: Backend, written: Log, request_: Request, scope: str
) -> None:
    with backend.client(backend_token(backend, scope)) as http:
        refused(request_(http, written.path), 403, "scope")


@pytest.mark.parametrize("request_", READS.values(), ids=READS.keys())
def test_a_read_token_reads_everything_of_its_tenant(
    backend: Backend, written: Log, request_: Request
) -> None:
    with backend.client(backend_token(backend, "read")) as http:
        ok(request_(http, written.path))
        refused(http.post("/v1/conversations:resolve", json={"key": "k"}), 403)
        refused(http.post("/v1/calls"), 403)


@pytest.mark.parametrize("request_", READS.values(), ids=READS.keys())
def test_a_call_token_sees_only_conversations_it_opened(
    backend: Backend, written: Log, request_: Request
) -> None:
    with backend.client(backend_token(backend, "call")) as http:
        refused(request_(http, written.path), 404, "unknown_conversation")
        assert ok(http.get("/v1/conversations"))["items"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic eA=="},
    ],
)
def test_no_valid_token_is_a_401(backend: Backend, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{backend.url}/v1/conversations", headers=headers)
    refused(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_ends_with_its_life(backend: Backend) -> None:
    with backend.client(backend.token("read", ttl_s=2)) as http:
        eventually(lambda: http.get("/v1/conversations").status_code == 401)
        refused(http.get("/v1/conversations"), 401, "expired_token")


def test_the_secret_of_a_token_is_not_in_the_database(backend: Backend, database: Database) -> None:
    secret = backend.token("read")
    rows = database.dump(backend.folder, "tokens")
    assert "read" in rows
    assert secret not in rows
    assert secret.encode().hex() not in rows


def test_the_database_file_holds_no_secret_anywhere(backend: Backend) -> None:
    secret = backend_token(backend, "read").encode()
    for path in backend.folder.glob("backend.db*"):
        assert secret not in path.read_bytes()
