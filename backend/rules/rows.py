"""What a change reads before it decides, and writes back: both databases fill these in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from backend.errors import NotFound
from backend.rules.ordinals import Received, Run
from backend.storage.records import PreviousWriter

_RUNS: Final = msgspec.json.Decoder(tuple[Run, ...])
_JSON: Final = msgspec.json.Encoder()


@dataclass(slots=True, kw_only=True)
class Head:
    """A conversation's row while a transaction changes it."""

    tenant: str
    id: str
    session_number: int
    version: int
    last_position: int
    highest_fence: int
    floor_fence: int

    def next_position(self) -> int:
        """Take the next position."""
        self.last_position += 1
        return self.last_position


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRow:
    """A writer's row."""

    writer_id: str
    fence: int
    room: str | None
    session_number: int
    window_session: int
    received: Received
    last_ordinal: int
    ended: bool


def previous_of(rows: Iterable[Sequence[Any]]) -> tuple[PreviousWriter, ...]:
    """Read (writer_id, fence, last_ordinal, acknowledged, ahead) of writers."""
    return tuple(
        PreviousWriter(
            writer_id=writer_id,
            fence=fence,
            last_ordinal=max(
                said, Received(acknowledged=acknowledged, ahead=runs_of(ahead)).highest
            ),
        )
        for writer_id, fence, said, acknowledged, ahead in rows
    )


def runs_of(text: str) -> tuple[Run, ...]:
    """Read runs of ordinals; nearly always there are none."""
    return () if text == "[]" else _RUNS.decode(text)


def text_of(runs: tuple[Run, ...]) -> str:
    """Write runs of ordinals as they are stored."""
    return _JSON.encode(runs).decode()


def no_conversation() -> NotFound:
    """Make the error for an unknown conversation and for a foreign one: they look the same."""
    return NotFound("unknown_conversation", "no such conversation")


def no_writer() -> NotFound:
    """Make the error for a writer that never registered."""
    return NotFound("unknown_writer", "no such writer: register it first")
