"""What the stand-in answers: always the same to the same words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulators.gemini.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Say:
    """Speak these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """Call a tool and wait for it."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Mind(Protocol):
    """Decides what comes next in a conversation."""

    def next(self, conversation: Conversation, tools: frozenset[str]) -> Say | Use:
        """Answer what was said last."""
        ...


class Echo:
    """Repeats what it hears; ``use NAME {"a": 1}`` makes it call a tool."""

    def next(self, conversation: Conversation, tools: frozenset[str]) -> Say | Use:
        """Answer what was said last."""
        last = next((one for one in reversed(conversation.lines) if not one.trigger), None)
        if last is None:
            return Say("Hello there.")
        if last.role == "tool":
            return Say(f"It says {last.text.partition(' = ')[2]}")
        words = last.text.split(maxsplit=2)
        if last.role == "user" and words[:1] == ["use"] and words[1] in tools:
            return Use(words[1], json.loads(words[2]) if len(words) > 2 else {})
        if last.role == "user":
            return Say(f"You said {last.text}")
        return Say("As I was saying.")
