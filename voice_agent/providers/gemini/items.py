"""Chat items as the service is told of them, and what makes two of them the same."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.genai import types
from livekit.agents.llm import ChatContext, ChatItem, ChatMessage, FunctionCallOutput

INSTRUCTIONS_IDS = frozenset({"lk.agent_task.instructions", "lk.agent_task.dynamic_instructions"})
"""Not part of what was said: instructions travel in the setup."""
SERVICE_MADE = ("GI_", "GR_")
"""How the plugin names the caller's words as transcribed, and the model's replies."""
FRAMED = "<instructions>\n{}\n</instructions>"
"""The frame that livekit-agents puts round instructions in the middle of a conversation."""
_FINGERPRINT_CHARS = 16
_SPACE = re.compile(r"\s+")

Calls = Mapping[str, tuple[str, str]]
"""Call id: name and arguments (JSON) of a tool call."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item of the conversation; without a key the service is never told of it by itself."""

    key: str | None
    fingerprint: str
    item: ChatItem
    size: int = 0
    """Characters."""
    content: tuple[object, ...] = ()
    """As it was when it was handed over: items are shared and may be edited in place."""

    @property
    def is_system(self) -> bool:
        """Whether it is a system message: a summary, say."""
        return isinstance(self.item, ChatMessage) and self.item.role in {"system", "developer"}


def wanted(item: ChatItem, before: Wanted | None = None) -> Wanted:
    """Take an item in; ``before`` is how it was known, to spare the work where nothing changed."""
    content = _content(item)
    if before is not None and before.item is item and before.content == content:
        return before
    if isinstance(item, FunctionCallOutput):
        key, role, words = f"out:{item.call_id}", "tool", item.output
    elif isinstance(item, ChatMessage) and item.id not in INSTRUCTIONS_IDS:
        key, role, words = item.id, item.role, _text(item) + _images(item)
        if not words.strip():
            return Wanted(None, "", item)
    else:
        return Wanted(None, "", item)
    return Wanted(key, _fingerprint(role, words), item, len(words), content)


def _content(item: ChatItem) -> tuple[object, ...]:
    if isinstance(item, ChatMessage):
        return tuple(item.content)
    return (item.output,) if isinstance(item, FunctionCallOutput) else ()


def is_service_made(key: str) -> bool:
    """Whether an item came from the service itself."""
    return key.startswith(SERVICE_MADE)


def is_cut_reply(one: Wanted) -> bool:
    """Whether it is a reply that was interrupted: the service knows how far it got by itself."""
    item = one.item
    return isinstance(item, ChatMessage) and item.interrupted and item.id.startswith("GR_")


def content(item: ChatItem, calls: Calls) -> types.Content | None:
    """Make the turn that tells the service of an item; a tool's outcome in words."""
    if isinstance(item, FunctionCallOutput):
        return _turn("user", outcome_in_words(item, calls))
    if not isinstance(item, ChatMessage):
        return None
    if item.role in {"system", "developer"}:
        return _turn("user", FRAMED.format(_text(item)))
    turns, _ = ChatContext([item]).to_provider_format(
        format="google", inject_dummy_user_message=False
    )
    return types.Content.model_validate(turns[0]) if turns else None


def outcome_in_words(output: FunctionCallOutput, calls: Calls) -> str:
    """Say what a tool returned, for a session that does not know the call."""
    name, arguments = calls.get(output.call_id, (output.name, "{}"))
    verb = "failed" if output.is_error else "returned"
    return f"tool {name}({_plain(arguments)}) {verb}: {output.output}"


def line(item: ChatItem, calls: Calls) -> str:
    """An item as a line for a summary."""
    if isinstance(item, FunctionCallOutput):
        return outcome_in_words(item, calls)
    role = item.role if isinstance(item, ChatMessage) else item.type
    return f"{role}: {_text(item)}"


def in_words(items: Sequence[ChatItem], calls: Calls) -> str:
    """Several items as one text; what the caller typed as it is."""
    if all(isinstance(item, ChatMessage) and item.role == "user" for item in items):
        return "\n".join(_text(item) for item in items)
    return "\n".join(line(item, calls) for item in items)


def _turn(role: str, text: str) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text)])


def user_turn(text: str) -> types.Content:
    """A user's turn of text."""
    return _turn("user", text)


def _plain(arguments: str) -> str:
    try:
        given: Any = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    if not isinstance(given, dict):
        return arguments
    return ", ".join(f"{key}={value}" for key, value in sorted(given.items()))


def _text(item: ChatItem) -> str:
    if isinstance(item, FunctionCallOutput):
        return item.output
    return (item.text_content or "") if isinstance(item, ChatMessage) else ""


def _images(item: ChatMessage) -> str:
    parts: Sequence[object] = [one for one in item.content if not isinstance(one, str)]
    ids = [str(getattr(one, "id", "")) for one in parts if getattr(one, "image", None)]
    return "".join(ids)


def _fingerprint(role: str, text: str) -> str:
    """Of role and words; spaces do not count, transcripts differ in them."""
    words = _SPACE.sub(" ", text).strip()
    return hashlib.sha256(f"{role}\0{words}".encode()).hexdigest()[:_FINGERPRINT_CHARS]
