"""A conversation as a whole: export and fork. A server that has not built them answers 501."""

import json

import httpx

from tests.backend.log_client import Json, Log, event, message, ok
from tests.contract.promises import built, new_key, refused


def talk(log: Log) -> None:
    """Two writers and a clear between them; the later writer's words arrive first."""
    log.register("second", fence=20)
    log.register("first", fence=10)
    log.store("second", message(1, "assistant", event_id="s1", text="two"))
    log.store("first", message(1, event_id="f1", text="one"))
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
    log.store(
        "second",
        message(2, event_id="s2", text="three", session_number=1, mark="kept"),
        event(3, event_id="s3", session_number=1),
        message(4, "assistant", event_id="s4", text="four", session_number=1),
    )


def exported(log: Log) -> list[Json]:
    """Export a conversation; its lines, the first one aside."""
    answer = built(log.http.get(f"{log.path}/export"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"format": 1}
    return lines[1:]


def fork(log: Log, **body: object) -> Json:
    """Fork a conversation."""
    return ok(built(log.http.post(f"{log.path}/fork", json=body)))


def test_an_export_has_every_event_once_in_conversation_order(log: Log) -> None:
    """An export is {"format": 1}, then every event once, as it is read, in conversation order.
    Otherwise what is handed to an auditor is another conversation than the one that was held."""
    talk(log)
    lines = exported(log)
    assert [each["event_id"] for each in lines] == ["f1", "s1", "c1", "s2", "s3", "s4"]
    read = {each["event_id"]: each for each in log.events()}
    assert all(each == read[each["event_id"]] for each in lines)


def test_a_fork_is_the_newest_session_as_session_0_under_new_ids(log: Log) -> None:
    """A fork is a new conversation: the newest session as session 0, each event under a new id
    with copied_from. Otherwise numbers begin anywhere, or one id names two events."""
    talk(log)
    made = fork(log)
    copy = Log(log.http, made["id"])
    events = copy.events()
    assert [each.get("copied_from") for each in events][:3] == ["s2", "s3", "s4"]
    assert {each["session_number"] for each in events} == {0}
    assert not {each["event_id"] for each in events} & {e["event_id"] for e in log.events()}
    assert copy.texts() == ["three", "four"]
    assert events[0]["mark"] == "kept"
    assert (made["session_number"], made["missing"], made["owner"]) == (0, [], None)


def test_a_fork_up_to_an_event_ends_with_it(log: Log) -> None:
    """up_to_event_id ends the copy, in the session of that event; an unknown one is a 404.
    Otherwise trying another answer begins with the answer that was to be tried again."""
    talk(log)
    until = fork(log, up_to_event_id="s2")
    assert Log(log.http, until["id"]).texts() == ["three"]
    before = fork(log, up_to_event_id="f1")
    assert Log(log.http, before["id"]).texts() == ["one"]
    refused(log.http.post(f"{log.path}/fork", json={"up_to_event_id": "nothing"}), 404)


def test_a_fork_goes_its_own_way(log: Log) -> None:
    """What is written into a fork is not in its source, and the other way round.
    Otherwise an experiment is heard by the next caller."""
    talk(log)
    copy = Log(log.http, fork(log)["id"])
    copy.register("w")
    copy.store("w", message(1, text="elsewhere"))
    assert copy.texts() == ["three", "four", "elsewhere"]
    assert log.texts() == ["one", "two", "three", "four"]


def test_a_repeated_fork_makes_one_conversation(log: Log) -> None:
    """The same conversation_id forks once: 201, then 200 with the same; for another source: 409.
    Otherwise each lost answer leaves one more copy behind."""
    talk(log)
    body = {"conversation_id": new_key()}
    first = built(log.http.post(f"{log.path}/fork", json=body))
    again = log.http.post(f"{log.path}/fork", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert ok(first)["id"] == ok(again)["id"] == body["conversation_id"]
    assert len(Log(log.http, body["conversation_id"]).texts()) == 2
    refused(log.http.post(f"{log.path}/fork", json={"conversation_id": log.id}), 409)


def test_what_is_unknown_cannot_be_copied(http: httpx.Client) -> None:
    """An unknown conversation's export and fork are a 404.
    Otherwise an empty file passes for the record of a call."""
    path = "/v1/conversations/no-such-conversation"
    refused(built(http.get(f"{path}/export")), 404)
    refused(built(http.post(f"{path}/fork", json={})), 404)
