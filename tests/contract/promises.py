"""How the suite speaks to a server: every answer is looked at, and what is broken is one line."""

import time
import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.backend.log_client import Json, Log

TRIES = 8
LONGEST_WAIT_S = 5.0
PROBLEM = "application/problem+json"


class PromiseBroken(AssertionError):
    """A promise of every answer is broken; the text is the line that the report shows."""


class Looked(httpx.BaseTransport):
    """Look at every answer; repeat what a busy server (429, 503) asks to be repeated."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        for remaining in reversed(range(self._tries)):
            answer = self._inner.handle_request(request)
            answer.read()
            look(answer)
            if not remaining or answer.status_code not in {429, 503}:
                break
            time.sleep(min(float(answer.headers["retry-after"]), LONGEST_WAIT_S))
        return answer

    def close(self) -> None:
        self._inner.close()


def look(answer: httpx.Response) -> None:
    """Check what holds for every answer."""
    status = answer.status_code
    if status == 422:
        raise PromiseBroken(
            "What is malformed is answered with 400, never with 422."
            " Otherwise a refusal has two names, and a client that knows one misses the other."
        )
    if status in {429, 503} and not answer.headers.get("retry-after", "").isdigit():
        raise PromiseBroken(
            f"Status {status} comes with Retry-After in seconds. Otherwise every relay comes back"
            " at its own pace, and a backend that is busy is kept busy."
        )
    if status >= 500 and status not in {501, 503}:
        raise PromiseBroken(
            f"A server that works does not answer {status}. Otherwise the relay repeats for ever"
            " what can never be stored, and what was said after it waits behind it."
        )
    if status >= 400:
        _look_at_problem(answer)


def _look_at_problem(answer: httpx.Response) -> None:
    kind = answer.headers.get("content-type", "").split(";")[0]
    try:
        body = answer.json() if kind == PROBLEM else None
    except ValueError:
        body = None
    right = (
        isinstance(body, dict)
        and {"type", "title", "status", "detail", "code", "errors"} <= set(body)
        and body["status"] == answer.status_code
        and isinstance(body["errors"], list)
    )
    if not right:
        raise PromiseBroken(
            f"An error ({answer.status_code}) is {PROBLEM} with type, title, status, detail, code"
            " and errors. Otherwise the agent cannot tell a lost lease from a bad event, and"
            " nobody reads in its log why words were refused."
        )


def client_of(url: str, token: str | None, *, tries: int = TRIES) -> httpx.Client:
    """Make a client whose every answer is looked at. ``tries``: 1 takes 503 for an answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=30.0, transport=Looked(tries))


def new_key() -> str:
    """Make a key that no run has used before: the server may keep what it is given."""
    return f"contract-{uuid.uuid4().hex}"


def new_log(http: httpx.Client) -> Log:
    """Make a fresh conversation."""
    return Log.resolve(http, new_key())


def built(answer: httpx.Response) -> httpx.Response:
    """Skip the test where the server says that it has not built this."""
    if answer.status_code == 501:
        pytest.skip("501: not built on this server")
    return answer


def refused(answer: httpx.Response, status: int, code: str | None = None) -> Json:
    """Check that an answer refuses; only codes that the agent reads are looked at."""
    assert answer.status_code == status, f"{answer.status_code}, not {status}: {answer.text}"
    body: Json = answer.json()
    assert code is None or body["code"] == code, f"{body['code']}, not {code}"
    return body


def indexes(problem: Json) -> list[int]:
    """Which events of the batch a refusal names."""
    return [each["index"] for each in problem["errors"]]


def line_of(test: Callable[..., object], error: BaseException | None = None) -> str:
    """Say in one line which promise a failed test shows to be broken, and what it costs."""
    if isinstance(error, PromiseBroken):
        return " ".join(str(error).split())
    return " ".join((test.__doc__ or "").split())
