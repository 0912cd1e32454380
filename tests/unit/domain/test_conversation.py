"""The window that the model sees, and what a trim may never cut (S1.15, S1.21)."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from voice_agent.domain.conversation import Conversation, WindowLimits, trim
from voice_agent.domain.events import (
    Body,
    ContextCleared,
    Event,
    Message,
    Role,
    StateChanged,
    Summary,
    ToolCall,
    ToolResult,
    TurnStarted,
)
from voice_agent.domain.ids import CallId, EventId

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, body: Body, session_number: int | None = None) -> Event:
    return Event(event_id=EventId(f"e{number}"), ordinal=number, at=AT, body=body,
                 session_number=session_number)  # fmt: skip


def message(number: int, role: Role = "user") -> Event:
    return event(number, Message(role=role, text=f"text {number}"))


def conversation(*events: Event) -> Conversation:
    result = Conversation()
    for each in events:
        result = result.apply(each)
    return result


def test_only_what_a_model_may_see_is_in_the_window() -> None:
    seen = conversation(message(1), event(2, TurnStarted(initiator="user")))
    assert [e.event_id for e in seen.window] == ["e1"]


def test_a_clear_empties_the_window_and_moves_to_its_session() -> None:
    cleared = conversation(message(1), event(2, ContextCleared(), session_number=3))
    assert cleared.window == ()
    assert cleared.session_number == 3


def test_state_is_one_value_changed_only_by_events() -> None:
    changed = conversation(event(1, StateChanged(state={"cart": 1})))
    assert changed.state is not None
    assert changed.state.state == {"cart": 1}


def test_a_summary_stands_in_the_place_of_what_it_covers_and_instructions_stay() -> None:
    summary = event(9, Summary(text="they met", covers={"up_to_event_id": "e3"}))
    summed = conversation(message(1, "system"), message(2), message(3), message(4), summary)
    assert [e.event_id for e in summed.window] == ["e1", "e9", "e4"]


def test_up_to_the_limit_nothing_is_trimmed() -> None:
    full = conversation(*(message(n) for n in range(1, 51)))
    assert trim(full, WindowLimits(), in_outbox=lambda _: True) == (full, ())


def test_above_the_limit_the_newest_stay() -> None:
    full = conversation(*(message(n) for n in range(1, 52)))
    shorter, cut = trim(full, WindowLimits(), in_outbox=lambda _: True)
    assert [e.ordinal for e in shorter.window] == list(range(32, 52))
    assert [e.ordinal for e in cut] == list(range(1, 32))
    assert shorter.trimmed_count == 31


def test_a_trim_keeps_whole_tool_pairs() -> None:
    call = event(2, ToolCall(call_id=CallId("c"), name="f", arguments="{}"))
    result = event(4, ToolResult(call_id=CallId("c"), name="f", output="1"))
    full = conversation(message(1), call, message(3), result, message(5))
    shorter, _ = trim(full, WindowLimits(keep=1, most=2), in_outbox=lambda _: True)
    kept = {e.event_id for e in shorter.window}
    assert ("e2" in kept) == ("e4" in kept)


@given(
    kinds=st.lists(st.sampled_from(["user", "assistant", "system", "call", "result"]), max_size=60),
    unwritten=st.sets(st.integers(1, 60)),
    keep=st.integers(1, 10),
)
def test_whatever_is_trimmed_nothing_protected_is_cut(
    kinds: list[str], unwritten: set[int], keep: int
) -> None:
    events: list[Event] = []
    calls: list[int] = []
    for number, kind in enumerate(kinds, 1):
        if kind == "call":
            calls.append(number)
            events.append(event(number, ToolCall(call_id=CallId(f"c{number}"), name="f",
                                                 arguments="{}")))  # fmt: skip
        elif kind == "result" and calls:
            call = calls.pop()
            events.append(event(number, ToolResult(call_id=CallId(f"c{call}"), name="f",
                                                   output="x")))  # fmt: skip
        elif kind in {"user", "assistant", "system"}:
            events.append(event(number, Message(role=kind, text="x")))  # type: ignore[arg-type]
    limits = WindowLimits(keep=keep, most=keep + 2)
    shorter, cut = trim(conversation(*events), limits,
                        in_outbox=lambda id_: int(id_[1:]) not in unwritten)  # fmt: skip
    assert sorted([*shorter.window, *cut], key=lambda e: e.ordinal) == events
    for gone in cut:
        assert gone.ordinal not in unwritten
        assert not (isinstance(gone.body, Message) and gone.body.role == "system")
    kept_newest = [e for e in events if isinstance(e.body, Message)][-keep:]
    assert set(e.ordinal for e in kept_newest) <= {e.ordinal for e in shorter.window}
    pairs_kept = {e.body.call_id for e in shorter.window if isinstance(e.body, ToolResult)}
    calls_cut = {e.body.call_id for e in cut if isinstance(e.body, ToolCall)}
    assert not pairs_kept & calls_cut


def test_what_comes_late_of_a_cleared_session_is_not_shown() -> None:
    said = [
        event(n, Message(role="user", text="x"), number) for n, number in enumerate((1, 2, None))
    ]
    shown = Conversation(session_number=2)
    for each in said:
        shown = shown.apply(each)
    assert shown.window == tuple(said[1:])


def test_a_session_that_is_named_late_leaves_out_what_is_of_earlier_ones() -> None:
    old = event(1, Message(role="user", text="old"), 0)
    named = conversation(old, message(2)).entered(1)
    assert (named.window, named.session_number) == ((message(2),), 1)
