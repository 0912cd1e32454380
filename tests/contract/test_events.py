"""Storing events: what the outbox and its relay build on.

Each docstring is the line that a broken server's owner reads: the promise, then what is lost.
"""

import pytest

from tests.backend.log_client import Json, Log, event, message
from tests.contract.promises import indexes, refused


def test_a_repeated_batch_is_stored_once_and_answers_as_the_first_did(log: Log) -> None:
    """Events are idempotent: a repeated batch answers as the first did and stores nothing.
    Otherwise a lost answer doubles what a caller said."""
    log.register("w")
    batch = [message(n) for n in range(1, 6)]
    first = log.store("w", *batch)
    assert (first["acknowledged"], len(first["positions"])) == (5, 5)
    again = log.store("w", *batch)
    assert (again["acknowledged"], again["positions"]) == (5, first["positions"])
    assert log.store("w", batch[3], batch[1])["positions"] == [
        first["positions"][3],
        first["positions"][1],
    ]
    assert [e["event_id"] for e in log.events()] == [e["event_id"] for e in batch]


def test_an_event_comes_back_with_every_field_it_was_sent_with(log: Log) -> None:
    """Unknown fields and all of Unicode are kept as they are.
    Otherwise words come back changed, and what a newer agent wrote is lost by an older backend."""
    log.register("w")
    sent = message(1, text="héllo \u2028 \U0001f600", future_field={"deep": [1, 2.5, None]})
    log.store("w", sent)
    (kept,) = log.events()
    assert {name: kept[name] for name in sent if name != "at"} == {
        name: value for name, value in sent.items() if name != "at"
    }
    assert (kept["writer_id"], kept["conversation_id"]) == ("w", log.id)


@pytest.mark.parametrize(
    ("wrong", "status"),
    [(event(1, text="changed"), 409), (event(3, kind="gossip"), 400), (event(0), 400)],
)
def test_a_batch_is_stored_whole_or_not_at_all(log: Log, wrong: Json, status: int) -> None:
    """A batch is all or nothing, and a refusal names the event in errors[index].
    Otherwise the relay sets the wrong event aside, or takes words as lost that are there."""
    log.register("w")
    log.store("w", event(1))
    problem = refused(log.send("w", event(2), wrong, event(4)), status)
    assert indexes(problem) == [1]
    assert [e["ordinal"] for e in log.events()] == [1]


def test_the_same_id_with_other_content_is_refused(log: Log) -> None:
    """The same event_id with other content is a 409 that names it in errors[index].
    Otherwise what was said can be changed afterwards, and nobody is told."""
    log.register("w")
    log.store("w", message(1, text="as it was said"))
    problem = refused(log.send("w", message(1, text="as nobody said it")), 409)
    assert indexes(problem) == [0]
    assert log.texts() == ["as it was said"]


def test_one_ordinal_belongs_to_one_event(log: Log) -> None:
    """An ordinal of a writer that is taken is refused with 409 and errors[index].
    Otherwise two events share a place, and an acknowledgement speaks of either."""
    log.register("w")
    log.store("w", event(1))
    problem = refused(log.send("w", event(2), event(1, event_id="another")), 409)
    assert indexes(problem) == [1]


def test_acknowledged_stops_at_the_first_gap_and_missing_shows_it(log: Log) -> None:
    """acknowledged is the highest ordinal without a gap below it; missing shows the gaps.
    Otherwise nobody learns which words of a lost pod never arrived."""
    log.register("w")
    assert log.store("w", event(2), event(5))["acknowledged"] == 0
    assert [(m["writer_id"], m["from"], m["to"]) for m in log.shown()["missing"]] == [
        ("w", 1, 1),
        ("w", 3, 4),
    ]
    assert log.store("w", event(1))["acknowledged"] == 2
    assert log.store("w", event(4), event(3))["acknowledged"] == 5
    assert log.shown()["missing"] == []


def test_an_empty_batch_says_where_the_writer_stands(log: Log) -> None:
    """A batch without events answers with what is acknowledged.
    Otherwise a writer that has lost its place cannot ask how far its words have come."""
    log.register("w")
    log.store("w", event(1))
    assert log.store("w")["acknowledged"] == 1


def test_an_answer_to_events_carries_session_number_and_highest_fence(log: Log) -> None:
    """Every answer to events carries session_number and highest_fence.
    Otherwise an agent goes on speaking from words that were cleared, or beside a newer agent."""
    fence = log.register("w")["fence"]
    stored = log.store("w", event(1))
    assert (stored["session_number"], stored["highest_fence"]) == (0, fence)
    newer = log.register("newer")["fence"]
    assert log.store("w", event(2))["highest_fence"] == newer


def test_positions_ascend_by_one_as_events_are_stored(log: Log) -> None:
    """position counts 1, 2, 3 ... within a conversation, in the order of storing.
    Otherwise a reader that follows a cursor misses events, or sees them twice."""
    log.register("w1")
    log.register("w2")
    positions = log.store("w1", event(1), event(3))["positions"]
    positions += log.store("w2", event(1, event_id="other"))["positions"]
    positions += log.store("w1", event(2))["positions"]
    assert positions == [1, 2, 3, 4]
    assert [e["position"] for e in log.events()] == positions


def test_version_counts_turns_that_left_something(log: Log) -> None:
    """version is +1 for a turn that ended completed, interrupted or abandoned, and not for empty.
    Otherwise copies of a conversation cannot tell which of them is newer."""
    log.register("w")
    assert log.shown()["version"] == "0"
    counted = []
    for n, outcome in enumerate(("completed", "empty", "interrupted", "abandoned")):
        turn = {"turn_id": f"t{n}"}
        log.store("w", event(2 * n + 1, "turn_started", initiator="user", **turn),
                  event(2 * n + 2, "turn_ended", outcome=outcome, **turn))  # fmt: skip
        counted.append(log.shown()["version"])
    assert counted == ["1", "1", "2", "3"]


def test_version_counts_what_arrives_after_its_turn_had_ended_once(log: Log) -> None:
    """version is +1 for an event of a turn that had ended, and not for its repeat.
    Otherwise a copy that lacks a late transcript passes for complete."""
    log.register("w")
    late = message(2, turn_id="t")
    log.store("w", event(1, "turn_started", turn_id="t", initiator="user"))
    log.store("w", event(3, "turn_ended", turn_id="t", outcome="completed"))
    assert log.shown()["version"] == "1"
    log.store("w", late)
    log.store("w", late)
    assert log.shown()["version"] == "2"
