"""Names of things. Each id is its own type, so that none is passed for another."""

import re
from typing import NewType

ConversationId = NewType("ConversationId", str)
WriterId = NewType("WriterId", str)
EventId = NewType("EventId", str)
TurnId = NewType("TurnId", str)
ItemId = NewType("ItemId", str)
"""A livekit-agents chat item; 48 random bits, so unique within one call only."""
SpeechId = NewType("SpeechId", str)
CallId = NewType("CallId", str)
"""One tool call, as the model named it."""
Identity = NewType("Identity", str)
RoomName = NewType("RoomName", str)
JobId = NewType("JobId", str)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(value: object) -> bool:
    """Say whether ``value`` may be an id of ours: 1 to 64 of ``[A-Za-z0-9_-]`` (docs/events.md)."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None
