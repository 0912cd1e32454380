"""Conversations by key, and their session numbers."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.backend.log_client import Json, Log, event, ok
from tests.contract.promises import indexes, new_key, refused

AT_MS = 1_795_233_600_123
"""``AT`` in unix ms: the fence of a writer that began then."""


def clear(log: Log, event_id: str, **fields: object) -> httpx.Response:
    """Clear a conversation."""
    return log.http.post(f"{log.path}/clear", json={"event_id": event_id} | fields)


def test_resolving_a_key_gets_or_creates(http: httpx.Client) -> None:
    """resolve is 201 with a new conversation for a new key, then 200 with the same one.
    Otherwise a caller who dials again is a stranger."""
    key = new_key()
    first = http.post("/v1/conversations:resolve", json={"key": key})
    again = http.post("/v1/conversations:resolve", json={"key": key})
    assert (first.status_code, again.status_code) == (201, 200)
    assert ok(first)["id"] == ok(again)["id"]
    made = ok(first)
    assert (made["session_number"], made["version"], made["missing"]) == (0, "0", [])


def test_resolves_that_race_find_one_conversation(http: httpx.Client) -> None:
    """resolve is safe under a race.
    Otherwise two pods that meet one caller at once begin two conversations."""
    key = new_key()
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: Log.resolve(http, key).id, range(24)))
    assert len(ids) == 1


def test_a_clear_advances_the_session_and_stores_its_event(log: Log) -> None:
    """A clear advances session_number by one and stores context_cleared, before it answers.
    Otherwise the next word is stored under the session that was cleared."""
    made = ok(clear(log, "c1", reason="asked"))
    assert (made["session_number"], made["event_id"], made["acknowledged"]) == (1, "c1", True)
    (stored,) = log.events()
    kept = (stored["kind"], stored["session_number"], stored["fence"], stored["ordinal"])
    assert kept == ("context_cleared", 1, 0, 1)
    assert log.shown()["session_number"] == 1


def test_a_repeated_clear_clears_once(log: Log) -> None:
    """The same event_id clears once and gets the same answer.
    Otherwise a lost answer clears what was said after the clear."""
    first = ok(clear(log, "c1"))
    again = ok(clear(log, "c1"))
    assert placed(again) == placed(first)
    assert log.shown()["session_number"] == 1
    ok(clear(log, "c2"))
    assert placed(ok(clear(log, "c1"))) == placed(first)
    assert log.shown()["session_number"] == 2
    refused(clear(log, "c1", reason="another"), 409)


def placed(cleared: Json) -> tuple[int, int]:
    """Where a clear stands."""
    return cleared["session_number"], cleared["position"]


def test_a_clear_says_whether_the_running_agent_has_forgotten(log: Log) -> None:
    """acknowledged is false until the live agent has reported the new number by its lease.
    Otherwise a person who was told "forgotten" hears the agent repeat it."""
    log.register("w")
    ok(log.beat("w", session_number=0))
    assert ok(clear(log, "c1"))["acknowledged"] is False
    ok(log.beat("w", session_number=1))
    assert ok(clear(log, "c1"))["acknowledged"] is True
    ok(log.end("w"))
    assert ok(clear(log, "c2"))["acknowledged"] is True


def test_a_writer_that_comes_late_is_told_of_a_clear_since_its_fence(log: Log) -> None:
    """A registration says by fence_session which session was open at its fence.
    Otherwise an agent that began while the backend was away goes on from words that were cleared
    meanwhile."""
    ok(clear(log, "c1"))
    late = log.register("late", fence=AT_MS - 10**9)
    assert (late["fence_session"], late["session_number"]) == (0, 1)
    now = log.register("now")
    assert (now["fence_session"], now["session_number"]) == (1, 1)


def test_session_numbers_are_never_shared_or_reused(log: Log) -> None:
    """Clears that race get one number each, without a gap.
    Otherwise two spans of a conversation pass for one, and cleared words come back."""
    ids = [f"c{n}" for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made: list[Json] = [ok(answer) for answer in pool.map(lambda i: clear(log, i), ids)]
    assert sorted(m["session_number"] for m in made) == list(range(1, 13))
    assert log.shown()["session_number"] == 12


def test_an_event_keeps_its_number_and_a_future_one_is_refused(log: Log) -> None:
    """An event keeps its session_number; one above the current is a 409 with errors[index].
    Otherwise a batch that spans a clear is stored under one session, or sessions are guessed."""
    log.register("w")
    ok(clear(log, "c1"))
    log.store("w", event(1, session_number=0), event(2, session_number=1))
    problem = refused(log.send("w", event(3), event(4, session_number=2)), 409)
    assert indexes(problem) == [1]
    assert [e["session_number"] for e in log.events(kind="thinking")] == [0, 1]


def test_an_event_without_a_number_is_of_the_session_at_its_writers_fence(log: Log) -> None:
    """An event without a session_number is of the session that was open at its writer's fence.
    Otherwise what was said during an outage, before a clear, comes back after it."""
    log.register("before")
    ok(clear(log, "c1"))
    log.register("after")
    log.store("before", event(1, event_id="b"))
    log.store("after", event(1, event_id="a"))
    numbers = {e["writer_id"]: e["session_number"] for e in log.events(kind="thinking")}
    assert numbers == {"before": 0, "after": 1}


def test_answers_tell_a_running_agent_of_a_clear(log: Log) -> None:
    """Answers to lease and events carry the number that a clear made.
    Otherwise a running agent answers from words that were cleared."""
    log.register("w")
    ok(clear(log, "c1"))
    assert log.store("w", event(1, session_number=0))["session_number"] == 1
    log.register("beating")
    ok(log.end("w"))
    assert ok(log.beat("beating"))["session_number"] == 1
