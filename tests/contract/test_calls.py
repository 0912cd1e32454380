"""Calls, as far as they can be asked for from outside: LiveKit may be away, and nobody calls."""

from collections.abc import Iterator

import httpx
import pytest

from tests.backend.log_client import Log, ok
from tests.contract.promises import built, client_of, new_key, refused

AGENT = {"dispatching", "joined", "absent"}


@pytest.fixture
def caller(url: str, token: str) -> Iterator[httpx.Client]:
    """A client that takes 503 for an answer."""
    with client_of(url, token, tries=1) as client:
        yield client


def opened(http: httpx.Client, **body: object) -> httpx.Response:
    """Ask for a call."""
    return built(http.post("/v1/calls", json=body))


def test_a_call_is_answered_with_what_a_caller_needs_or_with_503(
    caller: httpx.Client, log: Log
) -> None:
    """A call is answered at once with url, token, room, conversation_id and identity; 503 with
    Retry-After while LiveKit is away. Otherwise a page waits for a room that nobody is making."""
    answer = opened(caller, conversation_id=log.id, identity="ada", name="Ada")
    if answer.status_code == 503:
        return  # Retry-After was looked at, as with every answer
    made = ok(answer, 201)
    assert {"url", "token", "room", "conversation_id", "identity"} <= set(made)
    assert made["conversation_id"] == log.id
    assert made["url"].startswith(("ws://", "wss://"))
    shown = ok(caller.get(f"/v1/calls/{made['room']}"))
    assert shown["conversation_id"] == log.id
    assert shown["agent"] in AGENT


def test_what_is_unknown_cannot_be_called(caller: httpx.Client) -> None:
    """A call into an unknown conversation, or the state of an unknown room, is a 404.
    Otherwise a caller who follows an old link talks to an agent that has forgotten everything."""
    answer = opened(caller, conversation_id=new_key())
    assert answer.status_code in {404, 503}, answer.text
    refused(built(caller.get(f"/v1/calls/{new_key()}")), 404)


def test_a_malformed_call_is_a_400(caller: httpx.Client) -> None:
    """A call whose body is malformed is a 400, also while LiveKit is away.
    Otherwise a page tries its own mistake again until somebody gives up."""
    refused(opened(caller, identity=["no", "text"]), 400)
