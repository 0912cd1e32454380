"""The one door: outbox first; with a full disk events wait and come in order."""

from datetime import UTC, datetime
from pathlib import Path

from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.errors import OutboxFull
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import EventId, WriterId
from voice_agent.state import frames
from voice_agent.state.outbox import Header, Outbox, Placement
from voice_agent.state.store import WAITING_MAX, Store, StoreEvents

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = Header(
    writer_id="w1", started_at="2026-01-01T00:00:00.000Z", fence=1, conversation_id="c1"
)


class FullNow(Outbox):
    """A real outbox whose disk is full while ``full`` is set."""

    full = False

    def append(self, ordinal: int, data: bytes) -> None:
        if self.full:
            raise OutboxFull(reason="no space left on device")
        super().append(ordinal, data)


def event(number: int) -> Event:
    return Event(event_id=EventId(f"e{number}"), ordinal=number, at=AT,
                 body=Message(role="user", text=f"text {number}"))  # fmt: skip


class Seen:
    def __init__(self) -> None:
        self.degraded: list[bool] = []
        self.dropped: list[Event] = []
        self.trimmed: list[Event] = []

    def store(self, outbox: Outbox | None) -> Store:
        return Store(
            outbox=outbox,
            conversation=Conversation(),
            limits=WindowLimits(),
            events=StoreEvents(
                degraded=self.degraded.append,
                dropped=self.dropped.append,
                trimmed=self.trimmed.extend,
            ),
        )


def ordinals(folder: Path) -> list[int]:
    data = Placement(folder=folder).file_of(WriterId("w1")).read_bytes()
    return [i.ordinal for i in frames.read(data, final=True) if i.ordinal]


def test_an_event_is_in_the_outbox_before_memory_has_it(tmp_path: Path) -> None:
    class Watching(Outbox):
        def append(self, ordinal: int, data: bytes) -> None:
            assert store.conversation.window == ()
            super().append(ordinal, data)

    with Watching(Placement(folder=tmp_path), HEADER) as outbox:
        store = Seen().store(outbox)
        store.append(event(1))
        assert len(store.conversation.window) == 1
        assert ordinals(tmp_path) == [1]


def test_while_the_disk_is_full_events_wait_and_then_come_in_order(tmp_path: Path) -> None:
    seen = Seen()
    with FullNow(Placement(folder=tmp_path), HEADER) as outbox:
        store = seen.store(outbox)
        store.append(event(1))
        outbox.full = True
        store.append(event(2))
        store.append(event(3))
        assert store.degraded
        assert len(store.conversation.window) == 3
        assert not store.flush_waiting()
        outbox.full = False
        assert store.flush_waiting()
    assert ordinals(tmp_path) == [1, 2, 3]
    assert seen.degraded[0] is True
    assert seen.degraded[-1] is False
    assert not seen.dropped


def test_what_waits_is_bounded_and_what_is_dropped_is_said(tmp_path: Path) -> None:
    seen = Seen()
    with FullNow(Placement(folder=tmp_path), HEADER) as outbox:
        outbox.full = True
        store = seen.store(outbox)
        for number in range(1, WAITING_MAX + 3):
            store.append(event(number))
    assert [e.ordinal for e in seen.dropped] == [1, 2]


def test_memory_only_mode_keeps_the_window(tmp_path: Path) -> None:
    store = Seen().store(None)
    store.append(event(1))
    assert store.flush_waiting()
    assert len(store.conversation.window) == 1
