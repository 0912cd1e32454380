"""Events as bytes: the JSON of docs/events.md, the only module that knows its versions.

The same bytes go into the outbox, into Redis and, as part of a batch, to the backend.
"""

from datetime import datetime
from typing import Any

import msgspec

from voice_agent.domain.errors import UnreadableRecord
from voice_agent.domain.events import KINDS, Body, Event, Unknown
from voice_agent.domain.ids import EventId, TurnId

VERSION = 1
"""Version 1, 2026-11: the first."""

_HEADER = frozenset(
    (
        *("v", "event_id", "ordinal", "kind", "at", "turn_id", "session_number"),
        *("conversation_id", "writer_id", "fence", "position", "copied_from"),
    )
)


def instant(at: datetime) -> str:
    """An instant as RFC 3339 in UTC with milliseconds."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_event(event: Event) -> bytes:
    """Encode one event, newest version. The same event always gives the same bytes."""
    record: dict[str, Any] = {
        "v": VERSION,
        "event_id": event.event_id,
        "ordinal": event.ordinal,
        "kind": event.kind,
        "at": instant(event.at),
    }
    if event.turn_id is not None:
        record["turn_id"] = event.turn_id
    if event.session_number is not None:
        record["session_number"] = event.session_number
    if isinstance(event.body, Unknown):
        record.update(event.body.fields)
    else:
        fields: dict[str, Any] = msgspec.to_builtins(event.body)
        record.update((k, v) for k, v in fields.items() if v is not None)
    return msgspec.json.encode(record)


def decode_event(data: bytes) -> Event:
    """Decode bytes of any version.

    Raises:
        UnreadableRecord: not an event: quarantine it, go on with the next.
    """
    try:
        record = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise UnreadableRecord(source="event", offset=0, reason=str(exc)) from exc
    return event_of(record)


class EventSummary(msgspec.Struct, frozen=True, gc=False):
    """What an event is sorted by: a tenth of the price of the whole event."""

    event_id: str
    kind: str
    turn_id: str | None = None
    session_number: int | None = None
    role: str | None = None


def summary_of(data: bytes) -> EventSummary:
    """Read what an event is sorted by. Raises ``UnreadableRecord``, see ``decode_event``."""
    try:
        return msgspec.json.decode(data, type=EventSummary)
    except msgspec.MsgspecError as exc:
        raise UnreadableRecord(source="event", offset=0, reason=str(exc)) from exc


def event_of(record: dict[str, Any]) -> Event:
    """Make an event of decoded JSON; unknown fields are ignored, unknown kinds kept whole.

    Raises:
        UnreadableRecord: a field that every event has is missing or of the wrong type.
    """
    try:
        return Event(
            event_id=EventId(str(record["event_id"])),
            ordinal=int(record.get("ordinal") or 0),
            at=msgspec.convert(record["at"], datetime),
            turn_id=TurnId(record["turn_id"]) if record.get("turn_id") else None,
            session_number=record.get("session_number"),
            body=_body_of(record),
        )
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as exc:
        raise UnreadableRecord(source="event", offset=0, reason=repr(exc)) from exc


def _body_of(record: dict[str, Any]) -> Body:
    cls = KINDS.get(str(record["kind"]))
    if cls is None:
        return Unknown(fields={k: v for k, v in record.items() if k not in _HEADER or k == "kind"})
    body: Body = msgspec.convert(record, cls, strict=False)
    return body
