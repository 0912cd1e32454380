"""Clears and session numbers (S5.3, S5.4, S5.6, S5.9, S5.15)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.backend.log_client import Log, event, fresh, message, ok, refused
from tests.backend.process import Backend
from tests.backend.waiting import eventually
from tests.support.databases import Database


def clear(log: Log, **fields: object) -> httpx.Response:
    """Clear a conversation."""
    return log.http.post(f"{log.path}/clear", json={"event_id": fresh("clear")} | fields)


def test_a_clear_begins_the_next_session_and_stores_its_event_first(log: Log) -> None:
    made = ok(clear(log, event_id="c1", reason="asked"))
    assert made == {"session_number": 1, "event_id": "c1", "position": 1, "acknowledged": True}
    (stored,) = log.events()
    assert (stored["kind"], stored["session_number"], stored["fence"]) == ("context_cleared", 1, 0)
    assert (stored["ordinal"], stored["reason"]) == (1, "asked")
    assert log.shown()["session_number"] == 1


def test_the_same_clear_clears_once_and_another_use_of_its_id_is_refused(log: Log) -> None:
    first = ok(clear(log, event_id="c1"))
    ok(clear(log, event_id="c2"))
    assert ok(clear(log, event_id="c1")) == first
    assert log.shown()["session_number"] == 2
    refused(clear(log, event_id="c1", reason="other"), 409, "other_content")


def test_events_keep_their_number_and_a_future_number_is_refused(log: Log) -> None:
    """A batch of the relay may span a clear: each event keeps its own number."""
    log.register("w")
    ok(clear(log))
    log.store("w", event(1, session_number=0), event(2, session_number=1))
    problem = refused(log.send("w", event(3), event(4, session_number=2)), 409)
    assert [(e["index"], e["code"]) for e in problem["errors"]] == [(1, "session_ahead")]
    assert [e["session_number"] for e in log.events(after=1)] == [0, 1]


def test_an_event_without_a_number_is_of_the_session_at_its_writers_fence(log: Log) -> None:
    log.register("before", started_at="2026-11-21T04:00:00.000Z")
    ok(clear(log))
    log.register("after")
    log.register("away", fence=1000)  # claimed while the backend was away, long before the clear
    log.store("before", event(1, event_id="b"))
    log.store("after", event(1, event_id="a"))
    log.store("away", event(1, event_id="c"))
    numbers = {e["writer_id"]: e["session_number"] for e in log.events(kind="thinking")}
    assert numbers == {"before": 0, "after": 1, "away": 0}


def test_messages_of_an_older_session_come_first_whatever_their_fence(log: Log) -> None:
    log.register("low", fence=10)
    log.register("high", fence=20)
    ok(clear(log))
    log.store("low", message(1, event_id="l", text="after the clear", session_number=1))
    log.store("high", message(1, event_id="h", text="before it", session_number=0))
    assert log.texts() == ["before it", "after the clear"]


def test_a_clear_waits_for_the_running_agent_and_says_when_it_has_dropped_its_window(
    log: Log,
) -> None:
    log.register("w")
    done = threading.Event()

    def agent() -> None:
        """Beat as an agent does: show the number that the last answer carried."""
        number = 0
        while not done.wait(0.1):
            number = ok(log.beat("w", session_number=number))["session_number"]

    with ThreadPoolExecutor() as pool:
        running = pool.submit(agent)
        answer = ok(clear(log))
        done.set()
        running.result()
    assert answer["acknowledged"] is True


def test_an_agent_that_does_not_drop_its_window_is_told_of(log: Log) -> None:
    log.register("w")
    done = threading.Event()

    def deaf() -> None:
        while not done.wait(0.1):
            ok(log.beat("w", session_number=0))

    with ThreadPoolExecutor() as pool:
        running = pool.submit(deaf)
        answer = ok(clear(log))
        done.set()
        running.result()
    assert answer["acknowledged"] is False
    eventually(lambda: log.shown()["owner"] is None)
    assert ok(clear(log))["session_number"] == 2


def test_an_agent_that_was_cut_off_does_not_count_as_gone_until_its_writer_ends(log: Log) -> None:
    """Its lease has run out here; it may talk on all the same."""
    log.register("w")
    ok(log.beat("w", session_number=0))
    eventually(lambda: log.shown()["owner"] is None)
    assert ok(clear(log, event_id="c1"))["acknowledged"] is False
    ok(log.beat("w", session_number=1))
    assert ok(clear(log, event_id="c1"))["acknowledged"] is True
    eventually(lambda: log.shown()["owner"] is None)
    ok(log.end("w"))
    assert ok(clear(log, event_id="c2"))["acknowledged"] is True


def test_an_agent_that_another_replaced_is_not_waited_for(log: Log) -> None:
    log.register("lost")
    ok(log.beat("lost"))
    eventually(lambda: log.shown()["owner"] is None)
    log.register("w")
    ok(log.beat("w", session_number=0))
    ok(log.end("w"))
    assert ok(clear(log))["acknowledged"] is True


def test_a_writer_that_registers_late_is_told_of_a_clear_since_its_fence(log: Log) -> None:
    """It began while the backend was away: what it shows its model was cleared (S5.6, S5.11)."""
    ok(clear(log, event_id="c1"))
    late = log.register("late", fence=1000)
    assert (late["fence_session"], late["session_number"]) == (0, 1)
    assert log.register("late", fence=1000) == late
    ok(log.beat("late"))  # alive, and it says nothing of its window
    assert ok(clear(log, event_id="c1"))["acknowledged"] is False
    ok(log.beat("late", session_number=1))
    assert ok(clear(log, event_id="c1"))["acknowledged"] is True
    now = log.register("now")
    assert (now["fence_session"], now["session_number"]) == (1, 1)


def test_a_counter_that_was_set_back_is_held_against_the_log(
    own_backend: Backend, database: Database
) -> None:
    """As by a half-restored database: no number is given twice (S5.7, S5.9)."""
    with own_backend.start().client(own_backend.token()) as http:
        log = Log.resolve(http)
        ok(clear(log))
        ok(clear(log))
        database.change(own_backend.folder, "UPDATE conversations SET session_number = 0")
        assert ok(clear(log))["session_number"] == 3
        database.change(own_backend.folder, "UPDATE conversations SET session_number = 1")
        assert log.register("w")["session_number"] == 3
        assert log.shown()["session_number"] == 3
        numbers = [each["session_number"] for each in log.events(kind="context_cleared")]
    assert numbers == [1, 2, 3]


def test_clears_that_race_never_share_a_number(log: Log) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [ok(answer) for answer in pool.map(lambda _: clear(log), range(24))]
    assert sorted(m["session_number"] for m in made) == list(range(1, 25))
    assert sorted(m["position"] for m in made) == list(range(1, 25))


def test_resolves_that_race_find_one_conversation(http: httpx.Client) -> None:
    key = fresh("race")
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: Log.resolve(http, key).id, range(32)))
    assert len(ids) == 1
