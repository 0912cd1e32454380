"""Reading the log: pages, filters, the live stream."""

import threading

import httpx

from tests.backend.log_client import AT, Log, event, message, ok
from tests.backend.streams import following
from tests.backend.waiting import eventually
from tests.contract.promises import client_of, new_log, refused


def test_pages_of_events_meet_without_gap_or_overlap(log: Log) -> None:
    """events are ascending by position; next is a cursor that misses nothing, null at the end.
    Otherwise whoever reads page by page reads a conversation with holes."""
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 8)))
    read: list[list[int]] = []
    after: int | None = 0
    while after is not None and len(read) < 5:
        page = ok(log.http.get(f"{log.path}/events", params={"limit": 3, "after": after}))
        read.append([e["position"] for e in page["items"]])
        after = page["next"]
    assert read == [[1, 2, 3], [4, 5, 6], [7]]


def test_events_are_filtered_by_kind_session_and_time(log: Log) -> None:
    """kind (repeatable), session, from and to filter events.
    Otherwise an agent that looks for the last clear reads everything, or nothing."""
    log.register("w")
    log.store("w", event(1), message(2), event(3, "error", at="2026-11-22T00:00:00Z"))
    assert [e["ordinal"] for e in log.events(kind=["error", "message"])] == [2, 3]
    assert [e["ordinal"] for e in log.events(**{"from": "2026-11-21T12:00:00Z"})] == [3]
    assert [e["ordinal"] for e in log.events(to=AT)] == [1, 2]
    assert log.events(session=1) == []


def test_conversations_are_listed_newest_first_in_pages(http: httpx.Client) -> None:
    """conversations are listed newest first, in pages that meet.
    Otherwise a person does not find the call that has just been."""
    made = [new_log(http).id for _ in range(3)]
    page = ok(http.get("/v1/conversations", params={"limit": 2}))
    assert [c["id"] for c in page["items"]] == made[:0:-1]
    page = ok(http.get("/v1/conversations", params={"limit": 2, "after": page["next"]}))
    assert page["items"][0]["id"] == made[0]


def test_a_stream_from_a_cursor_has_no_gap_and_no_overlap(log: Log, url: str, token: str) -> None:
    """A stream from a cursor is history, then everything new, each once; id is the position.
    Otherwise a page, or an agent that waits for a clear, misses what happened at its beginning."""
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 201)))
    begun = threading.Event()

    def write() -> None:
        with client_of(url, token) as own:
            writing = Log(own, log.id)
            for first in range(201, 401, 5):
                writing.store("w", *(event(n) for n in range(first, first + 5)))
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(30)
        with following(log.http, log.path, params={"after": 0}) as stream:
            eventually(lambda: stream.ids[-1:] == [400], within_s=30)
    finally:
        thread.join()
    assert stream.ids == list(range(1, 401))
    assert [each.body["position"] for each in stream.sent] == stream.ids
    assert {each.name for each in stream.sent} == {""}


def test_a_stream_goes_on_after_last_event_id(log: Log) -> None:
    """Last-Event-ID goes before after=: a browser that reconnects sends it by itself.
    Otherwise everything is shown twice after each break."""
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 6)))
    both = {"headers": {"Last-Event-ID": "3"}, "params": {"after": 0}}
    with following(log.http, log.path, **both) as stream:
        stream.has(2)
    assert stream.ids == [4, 5]


def test_a_stream_without_a_cursor_begins_now(log: Log) -> None:
    """Without a cursor a stream begins now, and it shows clears and ends, too.
    Otherwise an agent that follows its conversation never hears that it was cleared."""
    log.register("w")
    log.store("w", message(1))
    with following(log.http, log.path) as stream:
        log.store("w", message(2))
        stream.has(1)
        ok(log.end("w"))
        ok(log.http.post(f"{log.path}/clear", json={"event_id": "c"}))
        stream.has(3)
    assert stream.ids == [2, 3, 4]
    kinds = [each.body["kind"] for each in stream.sent]
    assert kinds == ["message", "call_ended", "context_cleared"]


def test_a_cursor_that_cannot_be_is_reset(log: Log) -> None:
    """A cursor beyond the end is answered with event: reset and where to go on.
    Otherwise a reader that comes back after a restored backup waits for ever."""
    log.register("w")
    log.store("w", event(1))
    with following(log.http, log.path, params={"after": 99}) as stream:
        (reset,) = stream.has(1)
    assert (reset.name, reset.body) == ("reset", {"after": 1})


def test_a_stream_that_may_not_be_read_is_refused(log: Log) -> None:
    """An unknown conversation's stream is a 404, a cursor that is no number a 400.
    Otherwise a reader waits for events that cannot come."""
    refused(log.http.get("/v1/conversations/no-such-conversation/events/stream"), 404)
    refused(log.http.get(f"{log.path}/events/stream", params={"after": "x"}), 400)
