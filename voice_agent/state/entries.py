"""Events as every copy of the log gives them back: whose they are, their place, and their bytes.

The backend, Redis and an outbox each hold a part of a conversation. ``messages_of`` joins what they
gave into one order, which is the backend's own (docs/events.md).
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from voice_agent.domain.errors import UnreadableRecord
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import WriterId
from voice_agent.state.codec import EventSummary, decode_event, summary_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of one writer. ``data``: its bytes (``state.codec``)."""

    writer_id: WriterId
    fence: int
    ordinal: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A message and what it is sorted by; it is decoded when it is shown."""

    entry: Entry
    summary: EventSummary


def messages_of(entries: Iterable[Entry], *, session_number: int | None = None) -> list[Placed]:
    """Return the messages among ``entries`` in conversation order, each once.

    Entries that cannot be read are left out, and so are those of sessions before
    ``session_number`` (None: the newest among them): their context was cleared.
    """
    began: dict[tuple[WriterId, str | None], int] = {}
    found: dict[str, Placed] = {}
    newest = session_number or 0
    for entry in entries:
        try:
            summary = summary_of(entry.data)
        except UnreadableRecord:
            continue
        turn = (entry.writer_id, summary.turn_id)
        began[turn] = min(entry.ordinal, began.get(turn, entry.ordinal))
        if session_number is None:
            newest = max(newest, summary.session_number or 0)
        if summary.kind == Message.kind:
            found.setdefault(summary.event_id, Placed(entry=entry, summary=summary))

    def place(placed: Placed) -> tuple[int, int, bool, int]:
        entry, summary = placed.entry, placed.summary
        turn = began[entry.writer_id, summary.turn_id] if summary.turn_id else entry.ordinal
        return entry.fence, turn, summary.role != "user", entry.ordinal

    shown = (p for p in found.values() if not _is_before(p.summary, newest))
    return sorted(shown, key=place)


def events_of(messages: Iterable[Placed]) -> list[Event]:
    """Decode messages; one that cannot be read is left out."""
    events: list[Event] = []
    for placed in messages:
        with suppress(UnreadableRecord):
            events.append(decode_event(placed.entry.data))
    return events


def _is_before(summary: EventSummary, session_number: int) -> bool:
    return summary.session_number is not None and summary.session_number < session_number
