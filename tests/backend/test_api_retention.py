"""Retention by count and age (S5.13): what goes, what stays for good, what a reader hears."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.log_client import AT, Json, Log, event, message, ok, refused
from tests.backend.process import Backend
from tests.backend.streams import following
from tests.backend.waiting import eventually
from tests.support.databases import Database


@pytest.fixture
def keeping(tmp_path: Path, database: Database) -> Iterator[Backend]:
    """A backend that keeps 10 events of a conversation, and looks all the time."""
    server = Backend(
        tmp_path,
        VOICE_BACKEND__RETENTION_EVENTS="10",
        VOICE_BACKEND__RETENTION_LOOK_S="0.1",
        VOICE_BACKEND__LEASE_S="10",
        **database.settings(tmp_path),
    )
    yield server.start()
    assert server.stop() == 0
    assert '"level": "ERROR"' not in server.log()


@pytest.fixture
def http(keeping: Backend) -> Iterator[httpx.Client]:
    with keeping.client(keeping.token()) as client:
        yield client


def ids(log: Log) -> list[str]:
    """List the ids of what is left."""
    return [each["event_id"] for each in log.events(limit=1000)]


def batch(first: int, last: int, **fields: Any) -> list[Json]:
    """Make messages."""
    return [message(n, text=f"word{n}", **fields) for n in range(first, last + 1)]


def test_the_oldest_go_and_what_was_kept_for_good_stays(log: Log) -> None:
    log.register("w")
    state = event(1, "state_changed", state={"n": 1})
    sent = [state, *batch(2, 30)]
    first = log.store("w", *sent)
    before = log.shown()
    log.end("w")
    eventually(lambda: len(ids(log)) <= 12)
    assert ids(log)[:1] == ["e1"]  # the newest state
    assert ids(log)[1:-1] == [f"e{n}" for n in range(22, 31)]
    assert log.texts() == [f"word{n}" for n in range(22, 31)]
    shown = log.shown()
    kept = ("session_number", "version", "created_at", "missing")
    assert {k: shown[k] for k in kept} == {k: before[k] for k in kept}
    assert shown["last_position"] == 31
    assert log.store("w", *sent)["positions"] == first["positions"]
    refused(log.send("w", message(2, text="other words")), 409)
    found = ok(log.http.get(f"{log.path}/search", params={"q": "word"}))["items"]
    assert {hit["event"]["event_id"] for hit in found} <= set(ids(log))
    assert ok(log.http.get(f"{log.path}/search", params={"q": "word5"}))["items"] == []


def test_what_was_used_up_stays_when_the_events_that_said_so_have_gone(log: Log) -> None:
    log.register("w")
    counts = {"requests": 1.0, "audio_s": 2.5}
    used = {"service": "stt", "provider": "p", "model": "m", "counts": counts}
    ends = [
        event(n, "turn_ended", turn_id=f"t{n}", outcome="completed", usage=[used])
        for n in range(1, 21)
    ]
    log.store("w", *ends, *batch(21, 40))
    log.end("w")
    eventually(lambda: len(ids(log)) <= 12)
    assert log.events(kind="turn_ended") == []
    log.store("w", *ends)
    shown = ok(log.http.get(f"{log.path}/usage"))
    total = {"requests": 20, "audio_s": 50}
    assert [each["counts"] for each in shown["items"]] == [total]
    assert [each["counts"] for each in shown["calls"][0]["items"]] == [total]


def test_a_running_session_is_whole_and_goes_once_it_has_ended(log: Log) -> None:
    log.register("w")
    log.store("w", *batch(1, 30))
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c"}))
    n = 31
    while n < 61:  # an agent lives
        log.beat("w", session_number=1)
        log.store("w", *batch(n, n + 4, session_number=1))
        n += 5
    eventually(lambda: ids(log)[0] == "c")  # the session before is gone
    assert ids(log) == ["c", *(f"e{k}" for k in range(31, n))]
    log.end("w")
    eventually(lambda: len(ids(log)) <= 12)
    assert ids(log)[0] == "c"  # the boundary stays
    assert log.shown()["session_number"] == 1
    assert ok(log.http.post(f"{log.path}/clear", json={"event_id": "c"}))["session_number"] == 1


def test_a_reader_with_an_old_cursor_is_told(log: Log) -> None:
    log.register("w")
    log.store("w", *batch(1, 30))
    log.end("w")
    eventually(lambda: len(ids(log)) <= 11)
    refused(log.http.get(f"{log.path}/events", params={"after": 5}), 410, "cursor_pruned")
    refused(log.http.get(f"{log.path}/messages", params={"before": "e5"}), 410, "cursor_pruned")
    refused(log.http.get(f"{log.path}/messages", params={"before": "nobody"}), 404)
    with following(log.http, log.path, params={"after": 5}) as stream:
        assert stream.ended.wait(10)
    (reset,) = stream.sent
    assert reset.name == "reset"
    pruned = reset.body["after"]
    with following(log.http, log.path, params={"after": pruned}) as stream:
        stream.has(31 - pruned)
    assert stream.ids == list(range(pruned + 1, 32))
    with following(log.http, log.path, params={"after": 0}) as stream:
        stream.has(len(ids(log)))
    assert [each.body["event_id"] for each in stream.sent] == ids(log)


def test_events_go_by_age(tmp_path: Path, database: Database) -> None:
    backend = Backend(
        tmp_path,
        VOICE_BACKEND__RETENTION_S="3",
        VOICE_BACKEND__RETENTION_LOOK_S="0.1",
        **database.settings(tmp_path),
    )
    try:
        backend.start()
        with backend.client(backend.token()) as http:
            log = Log.resolve(http)
            log.register("w")
            log.store("w", *batch(1, 5, at=AT), *batch(6, 8, at="2100-01-01T00:00:00.000Z"))
            log.end("w")
            eventually(lambda: "e5" not in ids(log))
            assert ids(log)[:3] == ["e6", "e7", "e8"]
    finally:
        backend.kill()


def test_numbers_go_on_where_they_were_after_everything_was_pruned(
    tmp_path: Path, database: Database
) -> None:
    """Sessions, positions and versions are counted on, not found out from what is left (S5.9)."""
    backend = Backend(
        tmp_path,
        VOICE_BACKEND__RETENTION_S="0.1",
        VOICE_BACKEND__RETENTION_LOOK_S="0.1",
        **database.settings(tmp_path),
    )
    try:
        backend.start()
        with backend.client(backend.token()) as http:
            log = Log.resolve(http)
            log.register("w")
            log.store("w", *batch(1, 5, at=AT))
            ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
            log.store("w", *batch(6, 8, at=AT, session_number=1))
            log.end("w")
            eventually(lambda: log.texts() == [])
            kinds = [each["kind"] for each in log.events()]
            assert kinds == ["context_cleared", "call_ended"]
            again = ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
            assert again["session_number"] == 1
            made = ok(log.http.post(f"{log.path}/clear", json={"event_id": "c2"}))
            assert (made["session_number"], made["position"]) == (2, 11)
            back = log.register("back")
            assert (back["session_number"], back["fence_session"]) == (2, 2)
    finally:
        backend.kill()


def test_a_kill_in_the_middle_of_pruning_leaves_a_whole_log(
    tmp_path: Path, database: Database
) -> None:
    settings = {
        "VOICE_BACKEND__RETENTION_LOOK_S": "0.05",
        "VOICE_BACKEND__LEASE_S": "0.1",
        **database.settings(tmp_path),
    }
    backend = Backend(tmp_path, VOICE_BACKEND__RETENTION_EVENTS="0", **settings)
    pruning = Backend(tmp_path, VOICE_BACKEND__RETENTION_EVENTS="10", **settings)
    try:
        backend.start()
        with backend.client(backend.token()) as http:
            log = Log.resolve(http)
            log.register("w")
            for first in range(1, 3000, 500):
                log.store("w", *batch(first, first + 499))
        backend.kill()
        token = None
        for _ in range(3):
            pruning.start()
            token = token or pruning.token()
            pruning.kill()
        pruning.start()
        with pruning.client(token or "") as http:
            log = Log(http, log.id)
            eventually(lambda: len(ids(log)) == 10)
            assert log.texts() == [f"word{n}" for n in range(2991, 3001)]
    finally:
        backend.kill()
        pruning.kill()
