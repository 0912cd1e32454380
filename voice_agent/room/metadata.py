"""Room and dispatch metadata: ids only, and never trusted.

The pointer says which conversation a room belongs to. It is read from the dispatch (written by the
backend) first, then from the room, then resolved by key; a malformed value is refused with a
logged reason and a fresh conversation begins.
"""

import json
import logging
from typing import Any

from voice_agent.call.enrolment import Pointer
from voice_agent.domain.errors import InvalidPointer
from voice_agent.domain.ids import ConversationId, RoomName, is_id

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""LiveKit allows 512 KiB of metadata; ours is an id (S1.24)."""
FIELD = "conversation_id"


def read_fields(text: str, *, source: str) -> dict[str, Any]:
    """Parse metadata. Empty text has no fields; unknown ones are ignored by the caller.

    Raises:
        InvalidPointer: too large, not JSON, or not an object.
    """
    if not text.strip():
        return {}
    if len(text) > MAX_BYTES:
        raise InvalidPointer(source=source, reason=f"{len(text)} characters of metadata")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidPointer(source=source, reason="not JSON") from exc
    if not isinstance(fields, dict):
        raise InvalidPointer(source=source, reason="not a JSON object")
    return fields


def conversation_in(text: str, *, source: str) -> ConversationId | None:
    """The conversation that metadata names, or None where it names none.

    Raises:
        InvalidPointer: it names one that cannot be: not an id of ours.
    """
    named = read_fields(text, source=source).get(FIELD)
    if named is None:
        return None
    if not is_id(named):
        raise InvalidPointer(source=source, reason="conversation_id is not an id")
    return ConversationId(named)


def pointer_of(*, dispatch: str, room_metadata: str, room: RoomName, fresh_key: str) -> Pointer:
    """Find the conversation of a job. Never raises.

    Args:
        dispatch: the job's metadata; the backend wrote it.
        room_metadata: the room's, as of the dispatch.
        room: the room's name, the key where nothing names a conversation.
        fresh_key: the key of a fresh conversation, where something names an impossible one.
    """
    for source, text in (("dispatch", dispatch), ("room", room_metadata)):
        try:
            found = conversation_in(text, source=source)
        except InvalidPointer as exc:
            log.warning(
                "metadata refused: a fresh conversation begins",
                extra={"source": exc.source, "reason": exc.reason},
            )
            return Pointer(key=fresh_key, source=source)
        if found is not None:
            return Pointer(key=fresh_key, conversation_id=found, source=source)
    return Pointer(key=f"room-{room}", source="key")


def with_conversation(text: str, conversation_id: ConversationId) -> str | None:
    """The room metadata that names the conversation; None if it does already.

    Fields of others are kept; text that is no JSON object is replaced.
    """
    try:
        fields = read_fields(text, source="room")
    except InvalidPointer:
        fields = {}
    if fields.get(FIELD) == conversation_id:
        return None
    return json.dumps({**fields, FIELD: conversation_id}, separators=(",", ":"))
