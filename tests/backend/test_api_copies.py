"""Export and fork: a conversation as a whole."""

import json

from tests.backend.log_client import AT, Json, Log, event, fresh, message, ok, refused


def exported(log: Log) -> list[Json]:
    """Export a conversation; check its first line."""
    answer = log.http.get(f"{log.path}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"format": 1}
    return lines[1:]


def fork(log: Log, **body: object) -> Log:
    """Fork a conversation."""
    made = ok(log.http.post(f"{log.path}/fork", json=body))
    return Log(log.http, made["id"])


def talk(log: Log) -> None:
    """Two writers, a clear between them, a transcript that comes after the reply to it."""
    log.register("second", fence=20)
    log.register("first", fence=10)
    log.store(
        "second",
        event(1, "turn_started", event_id="s1", turn_id="t2", initiator="user"),
        message(2, "assistant", event_id="s2", turn_id="t2", text="reply"),
        message(3, event_id="s3", turn_id="t2", text="question"),
        event(4, "turn_ended", event_id="s4", turn_id="t2", outcome="completed"),
    )
    log.store("first", message(1, event_id="f1", text="earlier"))
    log.end("first", reason="left")
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
    log.register("third")
    log.store(
        "third",
        message(1, event_id="n1", text="after the clear"),
        event(2, "state_changed", event_id="n2", state={"n": 1}),
        message(3, "assistant", event_id="n3", text="indeed"),
    )


def test_an_export_has_every_event_once_in_conversation_order(log: Log) -> None:
    talk(log)
    lines = exported(log)
    assert {each["position"] for each in lines} == {each["position"] for each in log.events()}
    assert len(lines) == len(log.events())
    names = [each["event_id"] if each["kind"] != "call_ended" else "end" for each in lines]
    assert names == ["f1", "end", "s1", "s3", "s2", "s4", "c1", "n1", "n2", "n3"]
    assert [each["text"] for each in lines if each["kind"] == "message"] == log.texts()
    by_position = {each["position"]: each for each in log.events()}
    assert all(each == by_position[each["position"]] for each in lines)
    refused(log.http.get("/v1/conversations/none/export"), 404)


def test_a_long_export_comes_whole(log: Log) -> None:
    log.register("w")
    for start in range(1, 1201, 400):
        log.store("w", *(event(n) for n in range(start, start + 400)))
    assert [each["ordinal"] for each in exported(log)] == list(range(1, 1201))


def test_a_fork_copies_the_newest_session_under_new_ids_as_session_0(log: Log) -> None:
    talk(log)
    copy = fork(log)
    kinds = ["message", "state_changed", "message", "call_ended"]
    events = copy.events()
    assert [each["kind"] for each in events] == kinds
    assert [each.get("copied_from") for each in events] == ["n1", "n2", "n3", None]
    assert all(each["session_number"] == 0 for each in events)
    assert not {each["event_id"] for each in events} & {e["event_id"] for e in log.events()}
    assert copy.texts() == ["after the clear", "indeed"]
    shown = copy.shown()
    assert (shown["session_number"], shown["owner"], shown["missing"]) == (0, None, [])


def test_a_fork_up_to_an_event_ends_with_it_and_keeps_the_order(log: Log) -> None:
    talk(log)
    assert fork(log, up_to_event_id="n1").texts() == ["after the clear"]
    before = fork(log, up_to_event_id="s2")
    assert before.texts() == ["earlier", "question", "reply"]
    assert before.shown()["version"] == "1"  # the turn that was cut is closed
    refused(log.http.post(f"{log.path}/fork", json={"up_to_event_id": "none"}), 404)
    refused(log.http.post("/v1/conversations/none/fork"), 404)


def test_a_fork_goes_its_own_way(log: Log) -> None:
    talk(log)
    before = log.shown()
    copy = fork(log)
    copy.register("w", started_at=AT)
    copy.store("w", message(1, text="elsewhere"))
    assert copy.texts() == ["after the clear", "indeed", "elsewhere"]
    assert log.shown() | {"owner": None} == before | {"owner": None}
    hits = ok(copy.http.get(f"{copy.path}/search", params={"q": "clear"}))["items"]
    assert [hit["event"]["text"] for hit in hits] == ["after the clear"]


def test_a_repeated_fork_is_the_same_conversation(log: Log) -> None:
    talk(log)
    id_ = fresh("copy")
    first = log.http.post(f"{log.path}/fork", json={"conversation_id": id_})
    again = log.http.post(f"{log.path}/fork", json={"conversation_id": id_})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    clash = {"conversation_id": id_, "up_to_event_id": "n1"}
    refused(log.http.post(f"{log.path}/fork", json=clash), 409)
    refused(log.http.post(f"{log.path}/fork", json={"conversation_id": log.id}), 409)


def test_an_empty_conversation_is_exported_and_forked(log: Log) -> None:
    assert exported(log) == []
    assert fork(log).events() == []


def test_a_fork_of_more_events_than_a_batch_holds(log: Log) -> None:
    log.register("w")
    for start in range(1, 1201, 400):
        log.store("w", *(message(n) for n in range(start, start + 400)))
    assert fork(log).shown()["last_position"] == 1201
