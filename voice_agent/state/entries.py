"""Events as every copy of the log gives them back: whose they are, their place, and their bytes.

The backend, Redis and an outbox each hold a part of a conversation. ``messages_of`` joins what they
gave into one order, which is the backend's own (docs/events.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voice_agent.domain.errors import UnreadableRecord
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import EventId, TurnId, WriterId
from voice_agent.state.codec import decode_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of one writer. ``data``: its bytes (``state.codec``)."""

    writer_id: WriterId
    fence: int
    ordinal: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A decoded message with what it is sorted by."""

    entry: Entry
    event: Event


def messages_of(entries: Iterable[Entry], *, session_number: int | None = None) -> list[Placed]:
    """Return the messages among ``entries`` in conversation order, each once.

    Entries that cannot be read are left out, and so are those of sessions before
    ``session_number`` (None: the newest among them): their context was cleared.
    """
    began: dict[tuple[WriterId, TurnId | None], int] = {}
    found: dict[EventId, Placed] = {}
    newest = session_number or 0
    for entry in entries:
        try:
            event = decode_event(entry.data)
        except UnreadableRecord:
            continue
        turn = (entry.writer_id, event.turn_id)
        began[turn] = min(entry.ordinal, began.get(turn, entry.ordinal))
        if session_number is None:
            newest = max(newest, event.session_number or 0)
        if isinstance(event.body, Message):
            found.setdefault(event.event_id, Placed(entry=entry, event=event))

    def place(placed: Placed) -> tuple[int, int, bool, int]:
        entry, event = placed.entry, placed.event
        turn = began[entry.writer_id, event.turn_id] if event.turn_id else entry.ordinal
        assert isinstance(event.body, Message)
        return entry.fence, turn, event.body.role != "user", entry.ordinal

    shown = (p for p in found.values() if not _is_before(p.event, newest))
    return sorted(shown, key=place)


def _is_before(event: Event, session_number: int) -> bool:
    return event.session_number is not None and event.session_number < session_number
