"""Writers: fences, leases and ends; by them one agent alone speaks."""

from tests.backend.log_client import AT, Log, event, message, ok
from tests.backend.waiting import eventually
from tests.contract.promises import refused

AT_MS = 1_795_233_600_123


def end_of(log: Log, writer_id: str) -> float:
    """How long to wait for a lease to run out."""
    made = log.register(writer_id)
    return float(made["lease_s"]) * 3 + 5


def test_a_first_fence_is_the_writers_start(log: Log) -> None:
    """The fence of a first writer is its start in unix ms.
    Otherwise a fence claimed while the backend is away does not fit those that it grants."""
    assert log.register("w")["fence"] == AT_MS


def test_a_fence_is_above_every_fence_before_it(log: Log) -> None:
    """A writer that claims no fence gets at least the highest + 1, whatever its clock says.
    Otherwise an agent on a pod with a slow clock never owns the conversation."""
    first = log.register("w1")["fence"]
    assert log.register("w2")["fence"] == first + 1
    assert log.register("w3", started_at="2026-11-21T03:00:00.000Z")["fence"] == first + 2
    last = {"writer_id": "w4", "kind": "call", "started_at": AT, "fence": 2**53 - 1}
    refused(log.http.post(f"{log.path}/writers", json=last), 400)  # nothing fits above it


def test_a_free_claimed_fence_stays_even_below_newer_ones(log: Log) -> None:
    """A claimed fence that nobody has stays as it is.
    Otherwise what was said while the backend was away moves behind what was said later."""
    log.register("w1")
    assert log.register("w2", fence=AT_MS - 7)["fence"] == AT_MS - 7


def test_a_claimed_fence_that_is_used_is_raised_above_the_highest(log: Log) -> None:
    """A claimed fence that another writer has is raised to the highest + 1.
    Otherwise two agents hold one fence, and both speak."""
    first = log.register("w1")["fence"]
    assert log.register("w2", fence=first)["fence"] == first + 1


def test_registering_again_answers_the_same(log: Log) -> None:
    """A repeated registration answers with the same fence.
    Otherwise an agent whose first answer was lost competes with itself."""
    body = {"writer_id": "w", "kind": "call", "started_at": AT}
    first = log.http.post(f"{log.path}/writers", json=body)
    again = log.http.post(f"{log.path}/writers", json=body | {"fence": 5})
    assert (first.status_code, again.status_code) == (201, 200)
    assert ok(first)["fence"] == ok(again)["fence"]


def test_a_registration_says_where_the_conversation_stands(log: Log) -> None:
    """A registration answers with session_number, version and lease_s.
    Otherwise an agent begins in a guessed session and does not know how often to say it lives."""
    made = log.register("w")
    assert (made["session_number"], made["version"]) == (0, "0")
    assert made["lease_s"] > 0
    assert log.shown()["owner"]["writer_id"] == "w"


def test_a_newcomer_is_told_that_the_lease_is_held(log: Log) -> None:
    """While the live holder renews, a newcomer's lease is 409 lease_held.
    Otherwise two agents speak in one room."""
    log.register("old")
    newer = log.register("new")["fence"]
    renewed = ok(log.beat("old"))
    assert (renewed["highest_fence"], renewed["session_number"]) == (newer, 0)
    refused(log.beat("new"), 409, "lease_held")
    assert log.shown()["owner"]["writer_id"] == "old"


def test_an_older_writer_is_superseded_once_a_newer_one_holds_the_lease(log: Log) -> None:
    """A lease that ran out goes to the newer writer, and the older one is told 409 superseded.
    Otherwise an agent that was paused goes on speaking over the one that replaced it."""
    within_s = end_of(log, "old")
    eventually(lambda: log.shown()["owner"] is None, within_s=within_s)
    log.register("new")
    eventually(lambda: log.beat("new").status_code == 200, within_s=within_s)
    refused(log.beat("old"), 409, "superseded")


def test_an_end_releases_the_lease_at_once(log: Log) -> None:
    """A writer that ended leaves its lease to the next at once, and may not renew it.
    Otherwise a caller who dials again waits in silence until it has run out."""
    log.register("old")
    log.register("new")
    ok(log.end("old"))
    assert log.beat("new").status_code == 200
    refused(log.beat("old"), 409)


def test_the_first_end_wins_and_repeats_answer_200(log: Log) -> None:
    """The first end of a writer wins; repeats answer 200 and store nothing.
    Otherwise agent, relay and sweeper each write an end, and the reason is the slowest one's."""
    log.register("w")
    ok(log.end("w", reason="first"))
    ok(log.end("w", reason="second"))
    ends = log.events(kind="call_ended")
    assert [(e["reason"], e["writer_id"]) for e in ends] == [("first", "w")]


def test_an_end_may_say_what_was_used_up(log: Log) -> None:
    """An end is taken with its usage, whether or not this backend adds it up.
    Otherwise the call never ends: its outbox stays, and the relay comes back for ever."""
    log.register("w")
    counts = {"requests": 1, "audio_s": 2.5}
    used = {"service": "stt", "provider": "local", "model": "m", "counts": counts}
    ok(log.end("w", usage=[used]))
    ended = log.events(kind="call_ended")
    assert [each.get("usage", [used]) for each in ended] == [[used]]


def test_open_turns_of_an_ended_writer_are_closed_as_abandoned(log: Log) -> None:
    """A turn left open is closed as abandoned when its writer ends.
    Otherwise a turn cut short by a crash is never counted, and its words are in no version."""
    log.register("w")
    log.store("w", event(1, "turn_started", turn_id="t", initiator="user"))
    ok(log.end("w", last_ordinal=1))
    closed = [(e["turn_id"], e["outcome"]) for e in log.events(kind="turn_ended")]
    assert closed == [("t", "abandoned")]
    assert log.shown()["version"] == "1"


def test_late_events_of_an_ended_writer_are_stored_in_their_place(log: Log) -> None:
    """What an ended writer had recorded is still accepted, and stands in its place.
    Otherwise the outbox of a dead pod can never be delivered: its callers' words are lost."""
    log.register("old")
    log.store("old", message(1, text="one"))
    ok(log.end("old", last_ordinal=3))
    log.register("new")
    log.store("new", message(1, event_id="n1", text="four"))
    missing = [(m["writer_id"], m["from"], m["to"]) for m in log.shown()["missing"]]
    assert missing == [("old", 2, 3)]
    log.store("old", message(3, text="three"), message(2, text="two"))
    assert log.texts() == ["one", "two", "three", "four"]
    assert log.shown()["missing"] == []
