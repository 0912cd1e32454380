"""What the model sees of a conversation: a bounded window, and how it is trimmed.

The window is a projection of the log. Losing it costs nothing: the other layers rebuild it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from voice_agent.domain.events import (
    ContextCleared,
    Event,
    Message,
    StateChanged,
    Summary,
    ToolCall,
    ToolResult,
)
from voice_agent.domain.ids import CallId, EventId

VISIBLE = (Message, ToolCall, ToolResult, Summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """Trim to ``keep`` messages when there are more than ``most`` (S1.15)."""

    keep: int = 20
    most: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The tail of one conversation, as far as a model may see it. ``apply`` makes the next one."""

    session_number: int = 0
    window: tuple[Event, ...] = ()
    state: StateChanged | None = None
    trimmed_count: int = 0

    def apply(self, event: Event) -> "Conversation":
        """Return the conversation after ``event``. Total: an unknown event is no change.

        What a model sees is of the newest session alone: what comes late of an earlier one, such as
        a reply that a clear cut short, is no change either.
        """
        if isinstance(event.body, VISIBLE) and self._is_cleared(event):
            return self
        match event.body:
            case ContextCleared():
                return replace(self, window=(), session_number=event.session_number or 0)
            case StateChanged():
                return replace(self, state=event.body)
            case Summary():
                return replace(self, window=_summarised(self.window, event, event.body))
            case Message() | ToolCall() | ToolResult():
                return replace(self, window=(*self.window, event))
            case _:
                return self

    def entered(self, session_number: int) -> "Conversation":
        """Return the conversation in this session: of earlier ones nothing is shown."""
        moved = replace(self, session_number=session_number)
        return replace(moved, window=tuple(e for e in self.window if not moved._is_cleared(e)))

    def _is_cleared(self, event: Event) -> bool:
        return event.session_number is not None and event.session_number < self.session_number

    @property
    def messages(self) -> tuple[Event, ...]:
        """The messages of the window, oldest first."""
        return tuple(event for event in self.window if isinstance(event.body, Message))


def _summarised(window: tuple[Event, ...], event: Event, summary: Summary) -> tuple[Event, ...]:
    """Put a summary in the place of what it covers; system messages stay."""
    covered = summary.covers.get("up_to_event_id")
    index = next((i for i, each in enumerate(window) if each.event_id == covered), -1)
    kept = tuple(e for e in window[: index + 1] if _is_instruction(e))
    rest = tuple(e for e in window[index + 1 :] if not isinstance(e.body, Summary))
    return (*kept, event, *rest)


def _is_instruction(event: Event) -> bool:
    return isinstance(event.body, Message) and event.body.role == "system"


def trim(
    conversation: Conversation,
    limits: WindowLimits,
    *,
    in_outbox: Callable[[EventId], bool],
) -> tuple[Conversation, tuple[Event, ...]]:
    """Cut the window to its newest ``limits.keep`` messages, once it has more than ``limits.most``.

    Instructions, whole tool pairs, summaries and whatever is not yet in the outbox stay (S1.21).

    Returns:
        The conversation with the shorter window, and the events that were cut, oldest first.
    """
    messages = conversation.messages
    if len(messages) <= limits.most:
        return conversation, ()
    border = conversation.window.index(messages[-limits.keep])
    protected = [
        index >= border
        or _is_instruction(event)
        or isinstance(event.body, Summary)
        or not in_outbox(event.event_id)
        for index, event in enumerate(conversation.window)
    ]
    pairs = {_call_id(e) for e, stay in zip(conversation.window, protected, strict=True) if stay}
    pairs.discard(None)
    stays: list[Event] = []
    cut: list[Event] = []
    for event, stay in zip(conversation.window, protected, strict=True):
        (stays if stay or _call_id(event) in pairs else cut).append(event)
    shorter = replace(
        conversation,
        window=tuple(stays),
        trimmed_count=conversation.trimmed_count + len(cut),
    )
    return shorter, tuple(cut)


def _call_id(event: Event) -> CallId | None:
    return event.body.call_id if isinstance(event.body, ToolCall | ToolResult) else None
