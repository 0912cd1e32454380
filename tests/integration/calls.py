"""What a job writes, without LiveKit: a real outbox with real events."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from voice_agent.aio.clock import new_id, unix_ms
from voice_agent.domain.events import Event, Message, TurnEnded, TurnStarted
from voice_agent.domain.ids import EventId, TurnId, WriterId
from voice_agent.state.codec import encode_event, instant
from voice_agent.state.outbox import Header, Outbox, Placement

_last = [datetime.now(UTC)]


def _later_than_the_last() -> datetime:
    """Two calls of one conversation never begin in the same millisecond."""
    _last[0] = max(datetime.now(UTC), _last[0] + timedelta(milliseconds=1))
    return _last[0]


class WrittenCall:
    """A job process's outbox; ``say`` records a whole turn of three events."""

    def __init__(self, folder: Path, *, conversation_id: str | None = None, key: str | None = None):
        self.writer_id = WriterId(new_id())
        self.ordinal = 0
        self.said: list[str] = []
        now = _later_than_the_last()
        self.outbox = Outbox(
            Placement(folder=folder),
            Header(
                writer_id=self.writer_id,
                started_at=instant(now),
                fence=unix_ms(now),
                conversation_id=conversation_id,
                key=key,
                room="room-x",
            ),
        )
        self.outbox.open()
        self.path = folder / f"{self.writer_id}.outbox"

    def say(self, text: str) -> None:
        turn = TurnId(new_id())
        for body in (
            TurnStarted(initiator="user"),
            Message(role="user", text=text),
            TurnEnded(outcome="completed"),
        ):
            self.ordinal += 1
            event = Event(event_id=EventId(new_id()), ordinal=self.ordinal, at=datetime.now(UTC),
                          turn_id=turn, body=body)  # fmt: skip
            self.outbox.append(event.ordinal, encode_event(event))
        self.said.append(text)
        self.outbox.ring()

    def hang_up(self, reason: str = "caller_left") -> None:
        self.outbox.end(reason=reason, at=instant(datetime.now(UTC)), last_ordinal=self.ordinal)
        self.outbox.close()

    def die(self) -> None:
        """The process is gone: its lock is released, nothing was said about an end."""
        self.outbox.close()
