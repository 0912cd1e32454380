"""Storing events: identity, order, version, limits."""

import json

import httpx
import pytest

from tests.backend.log_client import AT, Json, Log, event, message, ok, refused


def test_a_batch_is_stored_and_read_back_with_its_context(log: Log) -> None:
    fence = log.register("w")["fence"]
    sent = message(1, text="héllo \u2028 \U0001f600", future_field={"deep": [1, 2.5, None]})
    assert log.store("w", sent) == {
        "acknowledged": 1,
        "positions": [1],
        "session_number": 0,
        "highest_fence": fence,
    }
    context = {
        "conversation_id": log.id,
        "session_number": 0,
        "writer_id": "w",
        "fence": fence,
        "position": 1,
    }
    assert log.events() == [sent | context]


def test_a_repeated_batch_answers_as_the_first_did(log: Log) -> None:
    log.register("w")
    batch = [event(n) for n in range(1, 6)]
    first = log.store("w", *batch)
    assert log.store("w", *batch) == first
    assert log.store("w", batch[3], batch[1])["positions"] == [4, 2]
    assert log.shown()["last_position"] == 5


def test_an_event_sent_back_as_it_was_read_is_the_same_event(log: Log) -> None:
    """Context is not identity: what the backend adds may come back with it."""
    log.register("w")
    log.store("w", event(1, session_number=0))
    assert log.store("w", log.events()[0])["positions"] == [1]


@pytest.mark.parametrize("field", ["conversation_id", "writer_id"])
def test_an_event_that_contradicts_its_request_is_refused(log: Log, field: str) -> None:
    log.register("w")
    problem = refused(log.send("w", event(1), event(2, **{field: "other"})), 400)
    assert [(e["index"], e["code"]) for e in problem["errors"]] == [(1, "contradiction")]
    assert log.events() == []


def test_the_same_id_with_other_content_stores_nothing_of_the_batch(log: Log) -> None:
    log.register("w")
    log.store("w", event(1))
    problem = refused(log.send("w", event(2), event(1, text="changed")), 409)
    assert [(e["index"], e["code"]) for e in problem["errors"]] == [(1, "other_content")]
    assert log.shown()["last_position"] == 1


def test_one_ordinal_belongs_to_one_event(log: Log) -> None:
    log.register("w")
    log.store("w", event(1))
    problem = refused(log.send("w", event(1, event_id="another")), 409)
    assert problem["errors"][0]["code"] == "ordinal_taken"
    problem = refused(log.send("w", event(2), event(2, event_id="another")), 409)
    assert problem["errors"][0]["index"] == 1


def test_an_id_is_unique_within_the_conversation_whoever_writes_it(log: Log) -> None:
    log.register("w1")
    log.register("w2")
    log.store("w1", event(1))
    for twin, code in ((event(1), "other_writer"), (event(7, event_id="e1"), "other_content")):
        assert refused(log.send("w2", twin), 409)["errors"][0]["code"] == code


def test_of_a_long_batch_only_the_one_known_event_is_refused_and_nothing_is_stored(
    log: Log,
) -> None:
    """Known ids are looked for only when one clashes, with many rows written already."""
    log.register("w1")
    log.register("w2")
    log.store("w1", event(1, event_id="known"))
    batch = [event(n, event_id=f"long-{n}") for n in range(1, 61)]
    known = [*batch[:39], event(40, event_id="known"), *batch[40:]]
    problem = refused(log.send("w2", *known), 409)
    assert [(e["index"], e["code"]) for e in problem["errors"]] == [(39, "other_content")]
    assert log.shown()["last_position"] == 1
    assert log.store("w2", *batch)["positions"] == list(range(2, 62))


def test_gaps_are_accepted_shown_and_closed(log: Log) -> None:
    log.register("w")
    assert log.store("w", event(2), event(5))["acknowledged"] == 0
    assert log.shown()["missing"] == [
        {"writer_id": "w", "from": 1, "to": 1},
        {"writer_id": "w", "from": 3, "to": 4},
    ]
    assert log.store("w", event(1))["acknowledged"] == 2
    assert log.store("w", event(4), event(3))["acknowledged"] == 5
    assert log.shown()["missing"] == []
    assert [e["ordinal"] for e in log.events()] == [2, 5, 1, 3, 4]


def test_a_transcript_that_arrives_after_its_reply_stands_before_it(log: Log) -> None:
    """Realtime models answer first and transcribe later (DESIGN §1, order)."""
    log.register("w")
    log.store("w", event(1, "turn_started", turn_id="t1", initiator="user"))
    log.store("w", message(2, "assistant", "the answer", turn_id="t1"))
    log.store("w", event(3, "turn_started", turn_id="t2", initiator="user"))
    log.store("w", message(4, "user", "next question", turn_id="t2"))
    log.store("w", message(5, "user", "the question", turn_id="t1"))
    assert log.texts() == ["the question", "the answer", "next question"]


def test_messages_move_to_their_place_when_the_turns_start_arrives_late(log: Log) -> None:
    log.register("w")
    log.store("w", message(5, "user", "first", turn_id="t1"), message(3, "user", "second"))
    assert log.texts() == ["second", "first"]
    log.store("w", event(1, "turn_started", turn_id="t1", initiator="user"))
    assert log.texts() == ["first", "second"]


def test_a_later_writers_messages_come_after_an_earlier_ones(log: Log) -> None:
    log.register("late")
    log.register("early", fence=1000)
    log.store("late", message(1, text="second"))
    log.store("early", message(1, event_id="x", text="first"))
    assert log.texts() == ["first", "second"]


@pytest.mark.parametrize(
    ("outcome", "version"),
    [("completed", "1"), ("interrupted", "1"), ("abandoned", "1"), ("empty", "0")],
)
def test_only_turns_that_left_something_count(log: Log, outcome: str, version: str) -> None:
    log.register("w")
    log.store("w", event(1, "turn_started", turn_id="t"), message(2, turn_id="t"))
    assert log.shown()["version"] == "0"
    log.store("w", event(3, "turn_ended", turn_id="t", outcome=outcome))
    assert log.shown()["version"] == version


def test_an_event_of_a_turn_that_had_ended_counts_and_a_repeat_does_not(log: Log) -> None:
    log.register("w")
    late = message(2, turn_id="t")
    log.store("w", event(1, "turn_started", turn_id="t"))
    log.store("w", event(3, "turn_ended", turn_id="t", outcome="completed"))
    log.store("w", late)
    log.store("w", late)
    assert log.shown()["version"] == "2"


WRONG: list[tuple[str, Json]] = [
    ("no id", {"event_id": None}),
    ("bad id", {"event_id": "a b"}),
    ("long id", {"event_id": "a" * 65}),
    ("no ordinal", {"ordinal": None}),
    ("ordinal zero", {"ordinal": 0}),
    ("ordinal true", {"ordinal": True}),
    ("ordinal float", {"ordinal": 1.0}),
    ("huge ordinal", {"ordinal": 2**53}),
    ("unknown kind", {"kind": "gossip"}),
    ("kind list", {"kind": ["message"]}),
    ("reserved kind", {"kind": "context_cleared"}),
    ("reserved end", {"kind": "call_ended"}),
    ("no instant", {"at": "soon"}),
    ("other version", {"v": 2}),
    ("negative session", {"session_number": -1}),
    ("bad turn", {"turn_id": "a/b"}),
    ("message role", {"kind": "message", "role": "boss", "text": ""}),
    ("message text", {"kind": "message", "role": "user", "text": None}),
    ("message speaker", {"kind": "message", "role": "user", "text": "", "speaker": "me"}),
    ("message modality", {"kind": "message", "role": "user", "text": "", "modality": {}}),
    ("message interrupted", {"kind": "message", "role": "user", "text": "", "interrupted": 1}),
    ("turn without id", {"kind": "turn_started"}),
    ("turn outcome", {"kind": "turn_ended", "turn_id": "t", "outcome": "great"}),
]


@pytest.mark.parametrize("change", [c for _, c in WRONG], ids=[name for name, _ in WRONG])
def test_a_malformed_event_is_named_and_nothing_is_stored(log: Log, change: Json) -> None:
    log.register("w")
    problem = refused(log.send("w", event(1), event(2) | change), 400)
    assert [e["index"] for e in problem["errors"]] == [1]
    assert log.events() == []


RAW = {
    "no body": b"",
    "no json": b"{",
    "array": b"[]",
    "not utf-8": b'{"writer_id":"w","events":["\xff"]}',
    "lone surrogate": b'{"writer_id":"w","events":["\\ud800"]}',
    "nan": b'{"writer_id":"w","events":[NaN]}',
    "overflow": b'{"writer_id":"w","events":[1e999]}',
    "deep": b'{"writer_id":"w","events":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no writer": b'{"events":[]}',
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_a_body_that_cannot_be_read_is_a_400(log: Log, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    refused(log.http.post(f"{log.path}/events", content=raw, headers=headers), 400)


def test_limits_are_413_and_another_content_type_415(log: Log) -> None:
    log.register("w")
    refused(log.send("w", *(event(n) for n in range(1, 502))), 413, "too_many_events")
    problem = refused(log.send("w", event(1), event(2, text="x" * 262_144)), 413)
    assert [(e["index"], e["code"]) for e in problem["errors"]] == [(1, "event_too_large")]
    refused(log.send("w", *(event(n, text="x" * 250_000) for n in range(1, 6))), 413)
    body = json.dumps({"writer_id": "w", "events": []})
    refused(log.http.post(f"{log.path}/events", content=body), 415)
    assert log.events() == []


def test_a_body_without_a_length_is_cut_off_at_the_limit(log: Log) -> None:
    def endless() -> "list[bytes]":
        return [b" " * 65_536] * 20

    headers = {"content-type": "application/json"}
    answer = log.http.post(f"{log.path}/events", content=iter(endless()), headers=headers)
    refused(answer, 413, "body_too_large")


def test_five_hundred_events_are_one_batch(log: Log) -> None:
    log.register("w")
    assert log.store("w", *(event(n) for n in range(1, 501)))["acknowledged"] == 500


def test_an_empty_batch_says_where_the_writer_stands(log: Log) -> None:
    log.register("w")
    log.store("w", event(1))
    assert log.store("w")["acknowledged"] == 1


def test_an_unknown_writer_or_conversation_is_404(log: Log) -> None:
    refused(log.send("nobody", event(1)), 404, "unknown_writer")
    refused(log.beat("nobody"), 404, "unknown_writer")
    refused(log.end("nobody"), 404, "unknown_writer")
    stranger = Log(log.http, "no-such-conversation")
    refused(stranger.send("w", event(1)), 404, "unknown_conversation")


def test_events_are_listed_by_filter_and_page(log: Log) -> None:
    log.register("w")
    log.store("w", *(event(n) for n in range(1, 6)), event(6, "error", at="2026-11-22T00:00:00Z"))
    page = ok(log.http.get(f"{log.path}/events", params={"limit": 4}))
    assert ([e["position"] for e in page["items"]], page["next"]) == ([1, 2, 3, 4], 4)
    page = ok(log.http.get(f"{log.path}/events", params={"limit": 4, "after": page["next"]}))
    assert ([e["position"] for e in page["items"]], page["next"]) == ([5, 6], None)
    assert [e["ordinal"] for e in log.events(kind=["error", "lost"])] == [6]
    assert [e["ordinal"] for e in log.events(**{"from": "2026-11-21T12:00:00Z"})] == [6]
    assert len(log.events(to=AT)) == 5
    assert log.events(session=1) == []


def test_messages_are_paged_backwards(log: Log) -> None:
    log.register("w")
    log.store("w", *(message(n, text=str(n)) for n in range(1, 8)))
    page = ok(log.http.get(f"{log.path}/messages", params={"last": 3}))
    assert ([e["text"] for e in page["items"]], page["next"]) == (["5", "6", "7"], "e5")
    page = ok(log.http.get(f"{log.path}/messages", params={"last": 3, "before": page["next"]}))
    assert ([e["text"] for e in page["items"]], page["next"]) == (["2", "3", "4"], "e2")
    page = ok(log.http.get(f"{log.path}/messages", params={"last": 3, "before": page["next"]}))
    assert ([e["text"] for e in page["items"]], page["next"]) == (["1"], None)
    refused(log.http.get(f"{log.path}/messages", params={"before": "nothing"}), 404)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=-1",
        "kind=gossip",
        "from=noon",
        "session=-1",
        "after=99999999999999999999",
    ],
)
def test_a_wrong_query_is_a_400_and_never_a_422(log: Log, query: str) -> None:
    refused(log.http.get(f"{log.path}/events?{query}"), 400)


def test_conversations_are_listed_newest_first_in_pages(backend_pages: httpx.Client) -> None:
    made = [Log.resolve(backend_pages).id for _ in range(5)]
    page = ok(backend_pages.get("/v1/conversations?limit=2"))
    assert [c["id"] for c in page["items"]] == made[:2:-1]
    page = ok(backend_pages.get(f"/v1/conversations?limit=200&after={page['next']}"))
    assert ([c["id"] for c in page["items"]], page["next"]) == (made[2::-1], None)
    refused(backend_pages.get("/v1/conversations?after=unknown"), 400)
