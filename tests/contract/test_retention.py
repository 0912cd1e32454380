"""Retention: what is told to whoever comes for what is gone. Provoked with ``--keeps N``."""

from tests.backend.log_client import Log, event, message, ok
from tests.backend.streams import following
from tests.backend.waiting import eventually
from tests.contract.promises import refused

BATCH = 500
PRUNED_S = 120.0


def prune(log: Log, keeps: int) -> int:
    """Clear once, write more than is kept, end; say up to which position it is gone."""
    log.register("w")
    log.store("w", message(1, event_id="first"))
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
    count = keeps + BATCH
    for start in range(2, count, BATCH):
        log.store("w", *(event(n, session_number=1) for n in range(start, start + BATCH)))
    ok(log.end("w"))
    eventually(lambda: asked(log, 1) == 410, within_s=PRUNED_S, every_s=0.2)
    with following(log.http, log.path, params={"after": 1}) as stream:
        (reset,) = stream.has(1)
    assert reset.name == "reset"
    return int(reset.body["after"])


def asked(log: Log, after: int) -> int:
    """Ask for the events after a position."""
    return log.http.get(f"{log.path}/events", params={"after": after, "limit": 1}).status_code


def test_a_cursor_that_was_pruned_is_told_where_to_go_on(log: Log, keeps: int) -> None:
    """A pruned cursor is a 410, and on a stream event: reset with a place to go on.
    Otherwise a reader that comes back late takes a log with a hole for the whole."""
    after = prune(log, keeps)
    refused(log.http.get(f"{log.path}/events", params={"after": 1}), 410)
    page = ok(log.http.get(f"{log.path}/events", params={"after": after, "limit": 1}))
    assert [each["position"] for each in page["items"]] == [after + 1]


def test_what_is_pruned_keeps_its_numbers_and_its_identity(log: Log, keeps: int) -> None:
    """Session numbers go on after pruning, boundaries stay, and a repeat is still a repeat.
    Otherwise an outbox that delivers late doubles what was pruned, or a session begins twice."""
    before = prune(log, keeps)
    last = log.shown()["last_position"]
    assert [each["event_id"] for each in log.events(kind="context_cleared")] == ["c1"]
    assert log.store("w", message(1, event_id="first"))["positions"] == [1]
    refused(log.send("w", message(1, event_id="first", text="other words")), 409)
    made = ok(log.http.post(f"{log.path}/clear", json={"event_id": "c2"}))
    assert (made["session_number"], made["position"]) == (2, last + 1)
    assert before < last
