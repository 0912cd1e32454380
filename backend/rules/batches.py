"""What becomes of a batch: which events are new, where they go, what cannot be.

An event that is known is compared and answered with the position it has, everything else takes
the next positions of the conversation's row.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.errors import Conflict, ItemError
from backend.rules.events import MAX_ERRORS, Event
from backend.rules.ordinals import Received
from backend.rules.rows import Head, WriterRow

NOT_KEPT: Final = 0
"""The position of events that are shown live only."""
Known = dict[str, tuple[bytes, int]]
"""event_id -> digest and position."""


@dataclass(slots=True, kw_only=True)
class Placed:
    """A new event and its place."""

    event: Event
    position: int
    session_number: int


MessageRow = tuple[int, int, int, int, int, str | None, int]
"""session number, fence, ordinal of the turn's start, role rank, ordinal, turn id, position."""


@dataclass(slots=True, kw_only=True)
class _Sorted:
    """A batch on its way."""

    fresh: dict[str, Event] = field(default_factory=dict)
    errors: list[ItemError] = field(default_factory=list)

    def refuse(self, index: int, code: str, detail: str) -> None:
        self.errors.append(ItemError(index=index, code=code, detail=detail))


def place(
    row: Head,
    writer: WriterRow,
    known: Known,
    events: Sequence[Event],
    *,
    passing: Collection[str] = (),
) -> list[Placed]:
    """Give the new events their positions, in the order their writer made them.

    Events of the ``passing`` kinds take none: they are shown live and not kept.

    Raises Conflict, naming each clash, when any event contradicts what the log holds: then
    nothing of the batch may be stored.
    """
    sorted_ = _sort(row, writer, known, events)
    if sorted_.errors:
        raise Conflict(
            "conflicting_events",
            "nothing was stored: some events clash with what the log holds",
            tuple(sorted_.errors[:MAX_ERRORS]),
        )
    return [
        Placed(
            event=event,
            position=NOT_KEPT if event.kind in passing else row.next_position(),
            session_number=(
                writer.session_number if event.session_number is None else event.session_number
            ),
        )
        for event in sorted(sorted_.fresh.values(), key=lambda event: event.ordinal)
    ]


def _sort(row: Head, writer: WriterRow, known: Known, events: Sequence[Event]) -> _Sorted:
    """Tell new events from known ones, and find every clash."""
    sorted_ = _Sorted()
    taken: set[int] = set()
    for index, event in enumerate(events):
        held = known.get(event.event_id)
        twin = sorted_.fresh.get(event.event_id)
        digest = held[0] if held else twin.digest if twin else None
        if digest is not None:
            if digest != event.digest:
                sorted_.refuse(index, "other_content", "this event_id has other content")
            elif held and not writer.received.has(event.ordinal):
                sorted_.refuse(index, "other_writer", "another writer stored this event_id")
        elif event.ordinal in taken or writer.received.has(event.ordinal):
            sorted_.refuse(index, "ordinal_taken", "another event has this ordinal")
        elif (event.session_number or 0) > row.session_number:
            sorted_.refuse(index, "session_ahead", f"the current session is {row.session_number}")
        else:
            taken.add(event.ordinal)
            sorted_.fresh[event.event_id] = event
    return sorted_


def kept(placed: Iterable[Placed]) -> list[Placed]:
    """Leave out the events that are shown live only."""
    return [p for p in placed if p.position != NOT_KEPT]


def positions_of(
    events: Iterable[Event], known: Known, placed: Sequence[Placed]
) -> tuple[int, ...]:
    """List the position of each event of a batch, new or known."""
    positions = {event_id: position for event_id, (_, position) in known.items()}
    positions |= {new.event.event_id: new.position for new in placed}
    return tuple(positions[event.event_id] for event in events)


def messages_of(
    writer: WriterRow, placed: Sequence[Placed], started: dict[str, int]
) -> list[MessageRow]:
    """Say where the messages among the new events stand. ``started``: see ``turns.Followed``."""
    return [
        (
            p.session_number,
            writer.fence,
            started.get(p.event.turn_id or "", p.event.ordinal),
            int(p.event.role != "user"),
            p.event.ordinal,
            p.event.turn_id,
            p.position,
        )
        for p in placed
        if p.event.kind == "message"
    ]


def received_with(writer: WriterRow, placed: Sequence[Placed]) -> tuple[Received, int]:
    """Say what has arrived of a writer with the new events, and the newest session it has shown."""
    received = writer.received.with_all(p.event.ordinal for p in placed)
    window = max(writer.window_session, *(p.event.session_number or 0 for p in placed))
    return received, window
