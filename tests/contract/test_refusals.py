"""What a server refuses, and how: statuses, problems, limits, tenants."""

import json

import httpx
import pytest

from tests.backend.log_client import AT, Log, event
from tests.contract.promises import client_of, indexes, new_key, refused

UNREADABLE = {
    "no body": b"",
    "no json": b"{",
    "an array": b"[]",
    "not utf-8": b'{"writer_id":"w","events":["\xff"]}',
    "NaN": b'{"writer_id":"w","events":[NaN]}',
    "no writer": b'{"events":[]}',
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_body_that_cannot_be_read_is_a_400(log: Log, raw: bytes) -> None:
    """A body that cannot be read is a 400 and stores nothing.
    Otherwise a broken batch is repeated for ever, or half of it is stored."""
    log.register("w")
    headers = {"content-type": "application/json"}
    refused(log.http.post(f"{log.path}/events", content=raw, headers=headers), 400)
    assert log.events() == []


@pytest.mark.parametrize(
    "change",
    [{"event_id": "a b"}, {"event_id": "a" * 65}, {"ordinal": 2**53}, {"at": "soon"},
     {"kind": "call_ended"}, {"kind": "context_cleared"}],
    ids=["id with a space", "long id", "huge ordinal", "no instant", "reserved end",
         "reserved clear"],
)  # fmt: skip
def test_a_malformed_event_is_a_400_that_names_it(log: Log, change: dict[str, object]) -> None:
    """A malformed event is a 400 that names it in errors[index].
    Otherwise the relay cannot set it aside, and everything behind it waits."""
    log.register("w")
    assert indexes(refused(log.send("w", event(1), event(2) | change), 400)) == [1]
    assert log.events() == []


def test_what_is_unknown_is_a_404(log: Log) -> None:
    """An unknown conversation or writer is a 404.
    Otherwise a writer that must register (again) never learns that it must."""
    stranger = Log(log.http, "no-such-conversation")
    refused(log.http.get(stranger.path), 404)
    refused(log.http.get(f"{stranger.path}/messages"), 404)
    refused(stranger.send("w", event(1)), 404)
    body = {"writer_id": "w", "kind": "call", "started_at": AT}
    refused(log.http.post(f"{stranger.path}/writers", json=body), 404)
    refused(log.send("nobody", event(1)), 404)
    refused(log.beat("nobody"), 404)
    refused(log.end("nobody"), 404)


def test_another_tenants_conversation_is_unknown(log: Log, foreign: httpx.Client) -> None:
    """A conversation of another tenant is a 404, for reading and for writing.
    Otherwise one customer reads, or changes, what another customer's callers said."""
    log.register("w")
    log.store("w", event(1))
    other = Log(foreign, log.id)
    refused(foreign.get(other.path), 404)
    refused(foreign.get(f"{other.path}/events"), 404)
    refused(foreign.get(f"{other.path}/messages"), 404)
    refused(other.send("w", event(2)), 404)
    refused(foreign.post(f"{other.path}/clear", json={"event_id": "c"}), 404)
    assert log.shown()["last_position"] == 1


def test_one_key_is_two_conversations_in_two_tenants(
    http: httpx.Client, foreign: httpx.Client
) -> None:
    """A key belongs to its tenant.
    Otherwise two customers who number their callers alike share conversations."""
    key = new_key()
    assert Log.resolve(http, key).id != Log.resolve(foreign, key).id


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_no_valid_token_is_a_401(url: str, token: str | None) -> None:
    """Without a valid token everything under /v1 is a 401.
    Otherwise anybody reads, and an agent with a wrong token learns it in its first call."""
    with client_of(url, token) as nobody:
        refused(nobody.get("/v1/conversations"), 401)
        refused(nobody.post("/v1/conversations:resolve", json={"key": "k"}), 401)


def test_what_is_too_large_is_a_413_and_stores_nothing(log: Log) -> None:
    """More than 500 events, 256 KiB an event or 1 MiB a body is a 413 and stores nothing.
    Otherwise a batch that the agent never splits is refused elsewhere, or for ever."""
    log.register("w")
    refused(log.send("w", *(event(n) for n in range(1, 502))), 413)
    assert indexes(refused(log.send("w", event(1), event(2, text="x" * 262_144)), 413)) == [1]
    refused(log.send("w", *(event(n, text="x" * 250_000) for n in range(1, 6))), 413)
    assert log.events() == []


def test_what_is_just_small_enough_is_stored(log: Log) -> None:
    """500 events are one batch, and an event may have nearly 256 KiB.
    Otherwise what an outbox gathered in an outage can never be delivered."""
    log.register("w")
    assert log.store("w", *(event(n) for n in range(1, 501)))["acknowledged"] == 500
    assert log.store("w", event(501, text="x" * 250_000))["acknowledged"] == 501


def test_another_content_type_is_a_415(log: Log) -> None:
    """A body that is not application/json is a 415.
    Otherwise a page of another site can write with its visitor's credentials."""
    body = json.dumps({"writer_id": "w", "events": []})
    refused(log.http.post(f"{log.path}/events", content=body), 415)


def test_readiness_needs_no_token(url: str) -> None:
    """GET /readyz is 200 without a token when requests can be answered.
    Otherwise `agent.py doctor` takes a backend that works for one that is away."""
    with client_of(url, None) as nobody:
        assert nobody.get("/readyz").status_code == 200
