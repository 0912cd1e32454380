"""What several copies of the log gave is joined into one order, each message once."""

from datetime import UTC, datetime

from voice_agent.domain.events import Body, Event, Message, TurnStarted
from voice_agent.domain.ids import EventId, TurnId, WriterId
from voice_agent.state.codec import encode_event
from voice_agent.state.entries import Entry, events_of, messages_of

AT = datetime(2026, 11, 21, 4, tzinfo=UTC)


def entry(
    writer: str,
    ordinal: int,
    body: Body,
    *,
    turn: str | None = None,
    session: int | None = 0,
    fence: int = 0,
) -> Entry:
    event = Event(event_id=EventId(f"{writer}{ordinal}"), ordinal=ordinal, at=AT, body=body,
                  turn_id=TurnId(turn) if turn else None, session_number=session)  # fmt: skip
    return Entry(writer_id=WriterId(writer), fence=fence or ord(writer), ordinal=ordinal,
                 data=encode_event(event))  # fmt: skip


def user(text: str) -> Message:
    return Message(role="user", text=text)


def agent(text: str) -> Message:
    return Message(role="assistant", text=text)


def words(entries: list[Entry], session_number: int | None = None) -> list[str]:
    found = events_of(messages_of(entries, session_number=session_number))
    return [event.body.text for event in found if isinstance(event.body, Message)]


def test_writers_follow_their_fences_and_each_message_is_there_once() -> None:
    first = [entry("a", 1, user("one")), entry("a", 2, agent("two"))]
    second = [entry("b", 1, user("three"))]
    assert words([*second, *first, *second]) == ["one", "two", "three"]


def test_a_transcript_that_came_after_the_reply_to_it_stands_before_it() -> None:
    late = [
        entry("a", 1, TurnStarted(initiator="user"), turn="t1"),
        entry("a", 2, TurnStarted(initiator="user"), turn="t2"),
        entry("a", 3, agent("answer"), turn="t1"),
        entry("a", 4, user("question"), turn="t1"),
        entry("a", 5, user("next"), turn="t2"),
    ]
    assert words(late) == ["question", "answer", "next"]
    assert words(late[2:]) == ["question", "answer", "next"]  # the beginnings were trimmed


def test_a_turn_stands_where_it_began_though_its_words_came_after_another_turns() -> None:
    late = [
        entry("a", 1, TurnStarted(initiator="user"), turn="t1"),
        entry("a", 2, TurnStarted(initiator="user"), turn="t2"),
        entry("a", 3, user("second"), turn="t2"),
        entry("a", 4, user("first"), turn="t1"),
    ]
    assert words(late) == ["first", "second"]


def test_what_was_cleared_is_not_shown() -> None:
    said = [
        entry("a", 1, user("before"), session=0),
        entry("a", 2, user("nobody knew the session"), session=None),
        entry("a", 3, user("after"), session=1),
    ]
    assert words(said, session_number=0) == ["before", "nobody knew the session", "after"]
    assert words(said, session_number=1) == ["nobody knew the session", "after"]
    assert words(said) == ["nobody knew the session", "after"]  # the newest that is known
    assert words(said, session_number=2) == ["nobody knew the session"]


def test_bytes_that_cannot_be_read_hide_no_neighbour() -> None:
    broken = Entry(writer_id=WriterId("a"), fence=97, ordinal=2, data=b"{")
    half = Entry(writer_id=WriterId("a"), fence=97, ordinal=3,
                 data=b'{"event_id":"x","kind":"message","role":"user"}')  # fmt: skip
    assert words([broken, half, entry("a", 1, user("one"))]) == ["one"]
