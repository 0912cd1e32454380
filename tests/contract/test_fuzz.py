"""Requests made from backend/openapi.json: none fails, and every answer is described there."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devtools.servers.postgres import PostgresServer
from simulators.fuzz import Findings, Fuzz, own_backend
from tests.contract.breaking import Answer, Asked, Break, Send, broken_server
from tests.contract.breaks import answers

NEEDS_LIVEKIT = {"POST /v1/calls", "POST /v1/calls/{room}/agent", "GET /v1/calls/{room}"}


TODAY = datetime.now(UTC).date().toordinal()
"""Other requests every day, the same ones all day: a failure of today can be asked again."""


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """What the backend keeps its database in; None: a file."""
    found: PostgresServer | None = None
    if request.param == "postgres":
        found = request.getfixturevalue("postgres")
    return found


def test_five_hundred_requests_get_the_answers_that_are_described(
    tmp_path: Path, server: PostgresServer | None
) -> None:
    with own_backend(tmp_path, postgres=server) as backend:
        findings = Fuzz(backend.url, backend.create_token("agent")).run(cases=500, seed=TODAY)
        assert '"level": "ERROR"' not in backend.log()
    again = f"python -m simulators.fuzz --seed {TODAY}{' --postgres' if server else ''}"
    assert findings.faults == {}, f"again: {again}"
    assert findings.count >= 500
    assert findings.never_through <= NEEDS_LIVEKIT, f"never answered below 300; again: {again}"


def misspells(asked: Asked, send: Send) -> Answer:
    """Name a field otherwise than described."""
    answer = send(asked)
    if asked.is_("GET", "/events") and answer.status == 200:
        return answer.saying(items="none")
    return answer


@pytest.mark.parametrize(
    ("break_", "told"),
    [
        (answers(500, instead_of=404), "Server error"),
        (answers(422, instead_of=400), "422"),
        (misspells, "schema"),
    ],
)
def test_an_answer_that_is_not_described_is_found(
    url: str, token: str, break_: Break, told: str
) -> None:
    with broken_server(url, break_) as broken:
        findings = Fuzz(broken, token).run(cases=120, seed=7)
    assert findings.faults
    assert all(told.lower() in fault.lower() for fault in findings.faults), findings.faults


def test_the_same_seed_asks_the_same(tmp_path: Path) -> None:
    def of(name: str) -> Findings:
        (tmp_path / name).mkdir()
        with own_backend(tmp_path / name) as backend:
            return Fuzz(backend.url, backend.create_token("agent")).run(cases=120, seed=3)

    assert of("first").statuses == of("second").statuses
