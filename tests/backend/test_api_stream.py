"""The live stream (S5.14): no gap, no overlap, and what a reader hears when it cannot go on."""

import json
import re
import socket
import threading
from pathlib import Path

import httpx

from tests.backend.log_client import Log, event, fresh, message, ok, refused
from tests.backend.process import Backend
from tests.backend.streams import following
from tests.backend.waiting import eventually

CORPUS = Path(__file__).parents[1] / "corpus" / "events"


def test_a_reader_sees_history_then_everything_new_without_gap_or_overlap(log: Log) -> None:
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 451)))
    stop = threading.Event()
    stored = [450]

    def write() -> None:
        with httpx.Client(base_url=log.http.base_url, headers=log.http.headers) as own:
            writing = Log(own, log.id)
            while not stop.is_set():
                first = stored[0] + 1
                writing.store("w", *(event(n) for n in range(first, first + 5)))
                stored[0] += 5

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with following(log.http, log.path, params={"after": 0}) as stream:
            stream.has(700)
            stop.set()
            thread.join()
            stream.has(stored[0])
    finally:
        stop.set()
        thread.join()
    assert stream.ids == list(range(1, stored[0] + 1))
    assert [each.body["position"] for each in stream.sent] == stream.ids
    assert stream.sent[0].body == log.events(limit=1)[0]


def test_without_a_cursor_a_reader_sees_what_comes_from_now_on(log: Log) -> None:
    log.register("w")
    log.store("w", message(1))
    with following(log.http, log.path) as stream:
        log.store("w", message(2), message(3))
        stream.has(2)
        ok(log.http.post(f"{log.path}/clear", json={"event_id": "c"}))
        log.end("w")
        stream.has(4)
    assert stream.ids == [2, 3, 4, 5]
    assert [each.body["kind"] for each in stream.sent][2:] == ["context_cleared", "call_ended"]
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"


def test_a_reader_that_comes_back_goes_on_after_its_last_event(log: Log) -> None:
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 6)))
    with following(log.http, log.path, headers={"Last-Event-ID": "3"}) as stream:
        stream.has(2)
    assert stream.ids == [4, 5]
    both = {"headers": {"Last-Event-ID": "4"}, "params": {"after": 0}}
    with following(log.http, log.path, **both) as stream:
        stream.has(1)
    assert stream.ids == [5]


def test_kinds_that_are_not_kept_are_shown_live_without_id_and_may_be_repeated(log: Log) -> None:
    log.register("w")
    batch = [event(1), event(2, "agent_state", state="speaking"), event(3)]
    with following(log.http, log.path) as stream:
        first = log.store("w", *batch)
        stream.has(3)
        assert log.store("w", *batch) == first
        log.store("w", event(4))
        stream.has(4)
    assert first["positions"] == [1, 0, 2]
    assert first["acknowledged"] == 3
    (shown,) = [each for each in stream.sent if each.id is None]
    assert shown.body["state"] == "speaking"
    assert "position" not in shown.body
    assert shown.body["session_number"] == 0
    assert stream.ids == [1, 2, 3]
    assert [e["ordinal"] for e in log.events()] == [1, 3, 4]
    other = event(2, "agent_state", state="other")
    refused(log.send("w", other), 409, "conflicting_events")


def test_every_kind_is_kept_or_shown_live_under_its_session_as_its_policy_says(log: Log) -> None:
    """One of each kind that an agent sends, after a clear (S5.5, S5.11, S5.12)."""
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
    log.register("w")
    frozen = [json.loads(path.read_bytes()) for path in sorted(CORPUS.glob("v1.*.json"))]
    ours = [each for each in frozen if each["kind"] not in {"context_cleared", "call_ended"}]
    for ordinal, each in enumerate(ours, 1):
        each |= {"event_id": f"e{ordinal}", "ordinal": ordinal}
        for name in ("session_number", "conversation_id", "writer_id"):
            each.pop(name, None)
    with following(log.http, log.path) as stream:
        log.store("w", *ours)
        stream.has(len(ours))
    live = {each.body["event_id"]: each for each in stream.sent}
    assert set(live) == {each["event_id"] for each in ours}
    assert {each.body["session_number"] for each in stream.sent} == {1}
    kept = {each["event_id"]: each for each in log.events() if each["kind"] != "context_cleared"}
    passing = [each["kind"] for each in ours if each["event_id"] not in kept]
    assert passing == ["agent_state"]
    for each in ours:
        shown = live[each["event_id"]].body
        assert each.items() <= shown.items()
        assert each["event_id"] not in kept or kept[each["event_id"]] == shown


def test_the_deepest_event_that_is_taken_can_be_followed_and_a_deeper_one_is_refused(
    log: Log,
) -> None:
    log.register("w")
    for depth in (128, 129, 500):
        refused(log.send("w", event(1, x=_nested(depth))), 400, "malformed_events")
    log.store("w", event(1, x=_nested(127)))  # the event itself is the outermost
    with following(log.http, log.path, params={"after": 0}) as stream:
        stream.has(1)
    assert len(log.events()) == 1


def _nested(depth: int) -> object:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_a_cursor_from_another_database_is_reset(log: Log) -> None:
    log.register("w")
    log.store("w", event(1))
    with following(log.http, log.path, params={"after": 99}) as stream:
        assert stream.ended.wait(10)
    (reset,) = stream.sent
    assert (reset.name, reset.id, reset.body) == ("reset", 1, {"after": 1})


def test_who_may_not_read_a_conversation_may_not_follow_it(backend: Backend, log: Log) -> None:
    path = f"{log.path}/events/stream"
    refused(log.http.get("/v1/conversations/none/events/stream"), 404, "unknown_conversation")
    for garbage in ("x", "-1", "9" * 17, "9" * 5_000):
        refused(log.http.get(path, headers={"Last-Event-ID": garbage}), 400)
    refused(log.http.get(path, params={"after": -1}), 400)
    with backend.client(backend.token(tenant="other")) as other:
        refused(other.get(path), 404, "unknown_conversation")
    with httpx.Client(base_url=backend.url) as nobody:
        refused(nobody.get(path), 401)


def test_silence_is_filled_with_pings_and_a_token_that_expires_ends_its_stream(
    tmp_path: Path,
) -> None:
    backend = Backend(tmp_path, VOICE_BACKEND__STREAM_PING_S="0.2")
    try:
        backend.start()
        with backend.client(backend.token(ttl_s=4)) as http:
            log = Log.resolve(http)
            with following(http, log.path) as stream:
                eventually(lambda: stream.comments.count("ping") >= 3)
                assert stream.ended.wait(15)
        assert backend.stop() == 0
        assert '"level": "ERROR"' not in backend.log()
    finally:
        backend.kill()


def test_a_backend_that_stops_lets_its_readers_go_at_once(own_backend: Backend) -> None:
    own_backend.start()
    with own_backend.client(own_backend.token()) as http:
        log = Log.resolve(http, fresh("stop"))
        with following(http, log.path) as stream:
            assert own_backend.stop() == 0
            assert stream.ended.wait(5)
    assert '"level": "ERROR"' not in own_backend.log()
    assert "cancelled at the drain deadline" not in own_backend.log()


def test_a_reader_that_is_too_slow_is_sent_away_with_the_place_to_come_back_to(log: Log) -> None:
    log.register("w")
    count = 120
    with socket.create_connection(("127.0.0.1", log.http.base_url.port or 0)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        slow.sendall(
            f"GET {log.path}/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization:"
            f" {log.http.headers['authorization']}\r\n\r\n".encode()
        )
        assert slow.recv(12) == b"HTTP/1.1 200"
        for n in range(1, count + 1, 4):
            log.store("w", *(event(k, text="x" * 200_000) for k in range(n, n + 4)))
        slow.settimeout(5)
        read = b""
        while not read.endswith(b"0\r\n\r\n"):
            part = slow.recv(1 << 20)
            assert part
            read += part
    ids = [int(found) for found in re.findall(rb"^id: (\d+)\r?$", read, re.M)]
    (reset,) = re.findall(rb'event: reset\ndata: {"after": (\d+)}', read)
    assert ids[:-1] == list(range(1, len(ids)))
    assert int(reset) == ids[-1] == len(ids) - 1 < count
    with following(log.http, log.path, params={"after": int(reset)}) as stream:
        stream.has(count - int(reset))
    assert stream.ids == list(range(int(reset) + 1, count + 1))
