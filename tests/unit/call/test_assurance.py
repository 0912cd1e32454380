"""A reply waits for the caller's words to be safe: as long as asked for, and never longer."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.assurance import LONGEST_S, Assurance
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.events import AgentState, ErrorReported, Event, Message
from voice_agent.state.acks import Ack, ack_of, write_ack
from voice_agent.state.outbox import Durability, Header, Outbox, Placement
from voice_agent.state.store import Store, StoreEvents

HEADER = Header(writer_id="w1", started_at="2026-01-01T00:00:00.000Z", fence=1)


class Watched:
    """A recorder on a real outbox, and what it saw (``CallObserver``)."""

    def __init__(self, outbox: Outbox | None) -> None:
        self.events: list[Event] = []
        self.waits: list[tuple[float, bool]] = []
        self.assurance = Assurance(outbox, clock=SystemClock(), observer=self)
        store = Store(
            outbox=outbox, conversation=Conversation(), limits=WindowLimits(),
            events=StoreEvents(degraded=lambda _: None, dropped=lambda _: None,
                               trimmed=lambda _: None),
        )  # fmt: skip
        self.recorder = Recorder(
            store=store, clock=SystemClock(), new_id=new_id, on_recorded=self.recorded
        )

    def recorded(self, event: Event) -> None:
        self.events.append(event)
        self.assurance.recorded(event)

    def degraded(self, layer: str, *, on: bool) -> None: ...

    def hydrated(self, source: str, duration_s: float) -> None: ...

    def secured(self, waited_s: float, *, in_time: bool) -> None:
        self.waits.append((waited_s, in_time))

    def say(self, text: str = "hello") -> int:
        return self.recorder.record(Message(role="user", text=text)).ordinal

    @property
    def marks(self) -> list[ErrorReported]:
        return [e.body for e in self.events if isinstance(e.body, ErrorReported)]


@contextlib.asynccontextmanager
async def watched(folder: Path, durability: Durability) -> AsyncIterator[Watched]:
    outbox = Outbox(Placement(folder=folder, durability=durability), HEADER)
    await asyncio.to_thread(outbox.open)
    yield Watched(outbox)
    outbox.close()


@pytest.mark.parametrize("durability", [Durability.POWER, Durability.ACKNOWLEDGED])
async def test_a_reply_to_nobody_waits_for_nothing(tmp_path: Path, durability: Durability) -> None:
    async with watched(tmp_path, durability) as call:
        call.recorder.record(AgentState(state="thinking"))
        call.recorder.record(Message(role="assistant", text="good day"))
        await call.assurance.secured(call.recorder)
        assert call.waits == []


async def test_with_process_no_reply_waits(tmp_path: Path) -> None:
    async with watched(tmp_path, Durability.PROCESS) as call:
        call.say()
        await call.assurance.secured(call.recorder)
        assert call.waits == []


async def test_memory_only_mode_waits_for_nothing() -> None:
    call = Watched(None)
    call.say()
    await call.assurance.secured(call.recorder)
    assert call.waits == []


async def test_with_power_the_reply_follows_the_sync(tmp_path: Path) -> None:
    async with watched(tmp_path, Durability.POWER) as call:
        call.say()
        await call.assurance.secured(call.recorder)
        await call.assurance.secured(call.recorder)  # each sound asks; once is enough
        assert [in_time for _, in_time in call.waits] == [True]
        assert call.marks == []


async def test_with_acknowledged_the_reply_follows_the_acknowledgement(tmp_path: Path) -> None:
    async with watched(tmp_path, Durability.ACKNOWLEDGED) as call:
        said = call.say()
        path = tmp_path / "w1.outbox"
        reply = asyncio.ensure_future(call.assurance.secured(call.recorder))
        await asyncio.wait({reply}, timeout=0.1)
        assert not reply.done()
        write_ack(ack_of(path), Ack(end=9, ordinal=said, file=path.stat().st_ino))
        await asyncio.wait_for(reply, LONGEST_S)
        assert [in_time for _, in_time in call.waits] == [True]
        assert call.marks == []


async def test_without_an_answer_the_reply_goes_on_after_a_second_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, Durability.ACKNOWLEDGED) as call:
        call.say()
        began = time.monotonic()
        await call.assurance.secured(call.recorder)
        assert LONGEST_S * 0.9 < time.monotonic() - began < LONGEST_S + 1.0
        assert [in_time for _, in_time in call.waits] == [False]
        [mark] = call.marks
        assert (mark.source, mark.detail) == ("durability", "acknowledged")


async def test_a_wait_that_is_cancelled_ends_at_once(tmp_path: Path) -> None:
    """An interruption must not be held up by an audit."""
    async with watched(tmp_path, Durability.ACKNOWLEDGED) as call:
        call.say()
        reply = asyncio.ensure_future(call.assurance.secured(call.recorder))
        await asyncio.wait({reply}, timeout=0.05)
        reply.cancel()
        await asyncio.wait({reply}, timeout=0.5)
        assert reply.cancelled()
        assert call.marks == []
