"""Turns as the backend follows them: where they begin, when they end, what that counts.

A conversation's version is the number of turns that ended, plus every event that came for a turn
after its end. A message sorts by the ordinal of its turn's start, which may arrive after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.rules.batches import Placed
from backend.rules.events import COUNTED, Event
from backend.rules.own_events import OwnEvent
from backend.rules.rows import WriterRow


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn's row. ``started_ordinal`` None: its start has not arrived."""

    session_number: int
    started_ordinal: int | None
    ended: bool
    changed: bool = False


Turns = dict[str, Turn]
"""By turn id, those of one writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a batch did to the turns.

    ``counted``: version steps. ``started``: each turn's first ordinal, if known. ``late``: starts
    that came after events of their turn: messages that are there already move to them.
    """

    counted: int
    started: dict[str, int]
    late: list[Event]


def ids_in(placed: Sequence[Placed]) -> set[str]:
    """Name the turns that new events belong to."""
    return {p.event.turn_id for p in placed if p.event.turn_id is not None}


def follow(turns: Turns, writer: WriterRow, placed: Sequence[Placed]) -> Followed:
    """Take note of new events (ascending by ordinal) of one writer in ``turns``."""
    counted = sum(_step(turns, p.event, p.session_number) for p in placed if p.event.turn_id)
    return Followed(
        counted=counted,
        started={i: t.started_ordinal for i, t in turns.items() if t.started_ordinal is not None},
        late=[
            p.event
            for p in placed
            if p.event.kind == "turn_started" and p.event.ordinal < writer.received.highest
        ],
    )


def _step(turns: Turns, event: Event, session: int) -> int:
    """Apply one event to its turn; return how many versions it counts."""
    turn_id = event.turn_id or ""
    turn = turns.get(turn_id)
    counts = int(turn is not None and turn.ended)
    if event.kind not in {"turn_started", "turn_ended"}:
        return counts
    if turn is None:
        turn = turns[turn_id] = Turn(session_number=session, started_ordinal=None, ended=False)
    turn.changed = True
    if event.kind == "turn_started":
        if turn.started_ordinal is None or event.ordinal < turn.started_ordinal:
            turn.started_ordinal = event.ordinal
        return counts
    if not turn.ended:
        turn.ended = True
        counts = int(event.outcome in COUNTED)
    return counts


def abandoned(writer: WriterRow, turn_id: str, session_number: int, at_ms: int) -> OwnEvent:
    """Make the end of a turn that a dead writer left open; it counts one version."""
    return OwnEvent(
        kind="turn_ended",
        at_ms=at_ms,
        session_number=session_number,
        writer_id=writer.writer_id,
        fence=writer.fence,
        ordinal=None,
        fields={"turn_id": turn_id, "outcome": "abandoned"},
    )
