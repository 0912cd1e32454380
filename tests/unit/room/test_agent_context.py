"""What the model is shown: restored history, and no more of a long call than the window."""

from datetime import UTC, datetime

from livekit.agents.llm import ChatContext, ChatMessage

from voice_agent.domain.events import Body, Event, Message, Summary, ToolCall, ToolResult
from voice_agent.domain.ids import CallId, EventId, ItemId
from voice_agent.room.agent import chat_context_of, shaped

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, body: Body) -> Event:
    return Event(event_id=EventId(f"e{number}"), ordinal=number, at=AT, body=body)


def contents(context: ChatContext) -> list[str]:
    return [item.text_content or "" for item in context.items if isinstance(item, ChatMessage)]


def test_history_is_restored_with_whole_tool_pairs_only() -> None:
    history = [
        event(1, Message(role="user", text="time?")),
        event(2, ToolCall(call_id=CallId("a"), name="f", arguments="{}")),
        event(3, ToolResult(call_id=CallId("a"), name="f", output="noon")),
        event(4, ToolCall(call_id=CallId("lost"), name="f", arguments="{}")),
        event(5, Message(role="assistant", text="noon", interrupted=True)),
    ]
    context = chat_context_of(history)
    assert [item.type for item in context.items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert contents(context) == ["time?", "noon"]


def test_a_summary_is_shown_as_a_system_message() -> None:
    context = chat_context_of([event(1, Summary(text="They met.", covers={}))])
    assert [(i.role, i.text_content) for i in context.items if isinstance(i, ChatMessage)] == [
        ("system", "They met.")
    ]


def live(*texts: str) -> ChatContext:
    context = ChatContext.empty()
    for number, text in enumerate(texts, 1):
        context.add_message(role="user", content=text, id=f"item{number}")
    return context


def test_a_live_context_is_cut_to_the_window_with_its_summary_in_front() -> None:
    window = [
        event(9, Summary(text="before", covers={})),
        event(3, Message(role="user", text="c", item_id=ItemId("item3"))),
    ]
    assert contents(shaped(live("a", "b", "c", "not recorded yet"), window)) == [
        "before",
        "c",
        "not recorded yet",
    ]


def test_what_was_said_before_the_oldest_kept_reply_stays_though_nobody_knew_its_item() -> None:
    context = live("a")
    context.add_message(role="assistant", content="b", id="reply1")
    context.items.extend(live("-", "-", "c").items[2:])
    context.add_message(role="assistant", content="d", id="reply2")
    window = [
        event(3, Message(role="user", text="c")),
        event(4, Message(role="assistant", text="d", item_id=ItemId("reply2"))),
    ]
    assert contents(shaped(context, window)) == ["c", "d"]
    assert contents(shaped(context, window[1:])) == ["d"]


def test_a_context_that_the_window_does_not_know_is_left_alone() -> None:
    assert contents(shaped(live("a", "b"), [])) == ["a", "b"]
