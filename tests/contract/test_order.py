"""The order of messages: (session, fence, ordinal of its turn_started, user first, ordinal)."""

from tests.backend.log_client import Log, event, message, ok
from tests.contract.promises import new_key, refused


def test_a_transcript_that_arrives_after_its_reply_stands_before_it(log: Log) -> None:
    """Messages sort by their turn's turn_started, the user's first.
    Otherwise a realtime model reads its answers before the questions."""
    log.register("w")
    log.store("w", event(1, "turn_started", turn_id="t1", initiator="user"))
    log.store("w", message(2, "assistant", "the answer", turn_id="t1"))
    log.store("w", event(3, "turn_started", turn_id="t2", initiator="user"))
    log.store("w", message(4, "user", "next question", turn_id="t2"))
    log.store("w", message(5, "user", "the question", turn_id="t1"))
    assert log.texts() == ["the question", "the answer", "next question"]


def test_messages_move_when_their_turns_start_arrives_late(log: Log) -> None:
    """A turn_started that arrives late puts its messages into their place.
    Otherwise the order of a conversation depends on which batch was faster."""
    log.register("w")
    log.store("w", message(5, "user", "first", turn_id="t1"), message(3, "user", "second"))
    log.store("w", event(1, "turn_started", turn_id="t1", initiator="user"))
    assert log.texts() == ["first", "second"]


def test_batches_that_arrive_out_of_order_are_read_in_order(log: Log) -> None:
    """Ordinals are accepted in any order and read in their own.
    Otherwise what an outbox delivers late stands at the end."""
    log.register("w")
    log.store("w", message(3, text="three"))
    log.store("w", message(1, text="one"), message(2, text="two"))
    assert log.texts() == ["one", "two", "three"]


def test_an_earlier_writers_messages_come_first_whenever_they_arrive(log: Log) -> None:
    """Messages of a lower fence come first.
    Otherwise what a crashed agent had heard stands behind the words of the one that followed."""
    log.register("late")
    log.register("early", fence=1000)
    log.store("late", message(1, text="second"))
    log.store("early", message(1, event_id="x", text="first"))
    assert log.texts() == ["first", "second"]


def test_messages_of_an_older_session_come_first_whatever_their_fence(log: Log) -> None:
    """The session number sorts before the fence.
    Otherwise words from before a clear come after it."""
    log.register("low", fence=10)
    log.register("high", fence=20)
    ok(log.http.post(f"{log.path}/clear", json={"event_id": new_key()}))
    log.store("low", message(1, event_id="l", text="after the clear", session_number=1))
    log.store("high", message(1, event_id="h", text="before it", session_number=0))
    assert log.texts() == ["before it", "after the clear"]


def test_messages_are_paged_backwards_without_gap_or_overlap(log: Log) -> None:
    """messages?last=N is the newest N, oldest first; next leads to those before.
    Otherwise an agent that takes over remembers with holes."""
    log.register("w")
    log.store("w", *(message(n, text=str(n)) for n in range(1, 8)))
    read: list[list[str]] = []
    query = {"last": "3"}
    while True:
        page = ok(log.http.get(f"{log.path}/messages", params=query))
        read.append([item["text"] for item in page["items"]])
        if page["next"] is None or len(read) > 3:
            break
        query = {"last": "3", "before": page["next"]}
    assert read == [["5", "6", "7"], ["2", "3", "4"], ["1"]]
    refused(log.http.get(f"{log.path}/messages", params={"before": "nothing"}), 404)
