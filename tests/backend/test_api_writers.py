"""Fences, leases and ends of writers."""

from datetime import UTC, datetime

import pytest

from tests.backend.log_client import AT, Json, Log, event, fresh, message, ok, refused
from tests.backend.waiting import eventually

AT_MS = 1_795_233_600_123


def instant(ms: int) -> str:
    """Write unix ms as the API does."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def test_a_first_fence_is_the_writers_start(log: Log) -> None:
    assert log.register("w")["fence"] == AT_MS


def test_a_later_writer_gets_a_higher_fence_even_when_its_clock_is_behind(log: Log) -> None:
    log.register("w1")
    assert log.register("w2", started_at=instant(AT_MS - 5000))["fence"] == AT_MS + 1


def test_a_free_claimed_fence_stays_below_newer_ones_and_a_used_one_is_raised(log: Log) -> None:
    log.register("w1")
    assert log.register("w2", fence=AT_MS - 7)["fence"] == AT_MS - 7
    assert log.register("w3", fence=AT_MS - 7)["fence"] == AT_MS + 1


def test_no_claim_takes_the_fences_of_the_writers_after_it(log: Log) -> None:
    path = f"{log.path}/writers"
    wild = {"writer_id": "w1", "kind": "call", "started_at": AT, "fence": 2**53 - 1}
    refused(log.http.post(path, json=wild), 400)
    highest = log.register("w1", fence=2**52)["fence"]
    for n in (1, 2):
        granted = log.register(f"later{n}", fence=highest)["fence"]
        assert granted == highest + n
        assert granted < 2**53


def test_registering_again_answers_the_same(log: Log) -> None:
    first = log.http.post(
        f"{log.path}/writers", json={"writer_id": "w", "kind": "call", "started_at": AT}
    )
    again = log.http.post(
        f"{log.path}/writers",
        json={"writer_id": "w", "kind": "call", "started_at": AT, "fence": 5},
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["fence"] == again.json()["fence"]


def test_a_writer_is_told_how_far_the_one_before_it_came(log: Log) -> None:
    """So that it can tell whether a copy of the log (Redis) reaches as far."""
    assert log.register("w1")["previous"] == []
    log.register("silent")  # wrote nothing: no reader need look for it
    assert log.register("w2")["previous"] == []
    ok(log.send("w1", event(1), event(3)))
    first = log.register("w3")
    assert first["previous"] == [{"writer_id": "w1", "fence": AT_MS, "last_ordinal": 3}]
    ok(log.beat("w1", last_ordinal=7))  # it says that it wrote more than has arrived
    assert log.register("w4")["previous"][0]["last_ordinal"] == 7
    assert log.register("w1")["previous"] == []


def test_what_a_writer_said_it_wrote_is_missing_once_its_lease_has_run_out(log: Log) -> None:
    """Its pod may be gone, outbox and all: nobody else would ever say so."""
    log.register("lost")
    log.store("lost", event(1))
    ok(log.beat("lost", last_ordinal=3))
    assert log.shown()["missing"] == []  # it lives: they are on their way
    eventually(lambda: log.shown()["missing"])
    assert log.shown()["missing"] == [{"writer_id": "lost", "from": 2, "to": 3}]
    log.store("lost", event(2), event(3))
    assert log.shown()["missing"] == []


def test_the_live_holder_is_shown_as_owner_until_its_lease_runs_out(log: Log) -> None:
    made = log.register("w")
    owner = log.shown()["owner"]
    assert owner == made["owner"]
    assert owner["writer_id"] == "w"
    eventually(lambda: log.shown()["owner"] is None)


def test_a_newcomer_waits_while_the_live_holder_renews(log: Log) -> None:
    """The live holder wins (DESIGN §1), whatever fence the newcomer has."""
    log.register("old")
    log.register("new")
    assert ok(log.beat("old"))["highest_fence"] == AT_MS + 1
    refused(log.beat("new"), 409, "lease_held")
    assert log.shown()["owner"]["writer_id"] == "old"


def test_a_writer_is_superseded_once_a_higher_fence_holds_the_lease(log: Log) -> None:
    log.register("old")
    eventually(lambda: log.shown()["owner"] is None)
    log.register("new")
    refused(log.beat("old"), 409, "superseded")
    ok(log.beat("new"))


def test_an_end_releases_the_lease_at_once(log: Log) -> None:
    log.register("old")
    log.register("new")
    ok(log.end("old"))
    ok(log.beat("new"))
    refused(log.beat("old"), 409, "ended")


def test_the_first_end_wins_and_repeats_answer_200(log: Log) -> None:
    log.register("w")
    ok(log.end("w", reason="first"))
    ok(log.end("w", reason="second"))
    ends = log.events(kind="call_ended")
    assert [(e["reason"], e["writer_id"], "ordinal" in e) for e in ends] == [("first", "w", False)]


def test_open_turns_of_an_ended_writer_are_abandoned_and_counted(log: Log) -> None:
    log.register("w")
    log.store(
        "w",
        event(1, "turn_started", turn_id="t1", initiator="agent"),
        event(2, "turn_ended", turn_id="t1", outcome="completed"),
        event(3, "turn_started", turn_id="t2", initiator="user"),
    )
    ok(log.end("w", last_ordinal=3))
    closing = log.events(after=3)
    assert [(e["kind"], e.get("turn_id"), e.get("outcome")) for e in closing] == [
        ("turn_ended", "t2", "abandoned"),
        ("call_ended", None, None),
    ]
    assert log.shown()["version"] == "2"


def test_late_events_of_an_ended_writer_are_stored_in_their_place(log: Log) -> None:
    log.register("old")
    log.store("old", message(1))
    ok(log.end("old", last_ordinal=3))
    log.register("new")
    log.store("new", message(1, event_id="n1", text="new"))
    assert log.shown()["missing"] == [{"writer_id": "old", "from": 2, "to": 3}]
    log.store("old", message(3), message(2))
    assert log.texts() == ["user 1", "user 2", "user 3", "new"]
    assert log.shown()["missing"] == []


def test_a_turn_that_arrives_after_its_writers_end_is_closed_when_all_is_there(log: Log) -> None:
    log.register("w")
    ok(log.end("w", last_ordinal=2))
    log.store("w", event(1, "turn_started", turn_id="t", initiator="user"))
    assert log.events(kind="turn_ended") == []
    log.store("w", message(2, turn_id="t"))
    assert [e["outcome"] for e in log.events(kind="turn_ended")] == ["abandoned"]


def test_resolving_one_key_twice_gives_one_conversation(log: Log) -> None:
    key = fresh("key")
    assert Log.resolve(log.http, key).id == Log.resolve(log.http, key).id


def test_a_long_rest_begins_a_new_conversation_under_the_same_key(log: Log) -> None:
    key = fresh("key")
    first = Log.resolve(log.http, key)
    body = {"key": key, "max_gap_s": 3600}
    assert ok(log.http.post("/v1/conversations:resolve", json=body))["id"] == first.id
    body = {"key": key, "max_gap_s": 0}
    eventually(lambda: ok(log.http.post("/v1/conversations:resolve", json=body))["id"] != first.id)


def test_a_conversation_with_a_live_writer_never_rested(log: Log) -> None:
    key = fresh("key")
    first = Log.resolve(log.http, key)
    first.register("w")
    body = {"key": key, "max_gap_s": 0}
    assert ok(log.http.post("/v1/conversations:resolve", json=body))["id"] == first.id


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"writer_id": "a b", "kind": "call", "started_at": AT},
        {"writer_id": "w", "kind": "other", "started_at": AT},
        {"writer_id": "w", "kind": "call", "started_at": "yesterday"},
        {"writer_id": "w", "kind": "call", "started_at": AT, "fence": 0},
        {"writer_id": "backend", "kind": "call", "started_at": AT},
    ],
)
def test_a_malformed_registration_is_refused(log: Log, body: dict[str, object]) -> None:
    refused(log.http.post(f"{log.path}/writers", json=body), 400)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (":resolve", {"key": "a\0b"}),
        ("/{id}/writers", {"writer_id": "w", "kind": "call", "started_at": AT, "room": "a\0b"}),
        ("/{id}/writers", {"writer_id": "w", "kind": "call", "started_at": AT, "job_id": "\0"}),
        ("/{id}/writers/w/end", {"reason": "a\0b", "at": AT}),
    ],
)
def test_a_text_with_a_nul_is_refused_because_postgresql_cannot_hold_it(
    log: Log, path: str, body: Json
) -> None:
    refused(log.http.post(f"/v1/conversations{path.format(id=log.id)}", json=body), 400)


def test_the_words_of_an_event_may_hold_any_character(log: Log) -> None:
    log.register("w")
    log.store("w", message(1, text="a\0b\u2028\U0001f600"))
    assert log.texts() == ["a\0b\u2028\U0001f600"]
