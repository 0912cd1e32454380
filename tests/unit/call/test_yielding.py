"""An agent that sees a higher fence in its room goes silent; a lower one is no reason to."""

import logging
from collections.abc import Sequence

import pytest

from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.call import Call, CallLayers, CallSettings
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.summaries import Summarised
from voice_agent.domain.conversation import WindowLimits
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import JobId, RoomName
from voice_agent.state.handles import OwnHandles


class Unwatched:
    """Nobody counts (``call.ports.CallObserver``)."""

    def recorded(self, event: Event) -> None: ...
    def degraded(self, layer: str, *, on: bool) -> None: ...
    def hydrated(self, source: str, duration_s: float) -> None: ...
    def secured(self, waited_s: float, *, in_time: bool) -> None: ...


class Unsummarised:
    """Nobody summarises."""

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        return Summarised(text=previous)


@pytest.fixture
def call() -> Call:
    clock = SystemClock()
    return Call(
        settings=CallSettings(load_s=1, limits=WindowLimits(), key="room", pattern="auto",
                              retrieval_above=500, max_gap_s=None),
        layers=CallLayers(backend=None, placement=None, clock=clock, new_id=new_id,
                          observer=Unwatched(), summariser=Unsummarised(),
                          handles=OwnHandles(clock)),
        pointer=Pointer(key="room"),
        place=Place(room=RoomName("room"), job_id=JobId("job")),
    )  # fmt: skip


async def test_the_higher_fence_in_the_room_speaks_and_the_loser_says_why_once(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    call.yield_to(call.writer.fence - 1)
    call.yield_to(call.writer.fence)
    assert not call.superseded.is_set()
    call.yield_to(call.writer.fence + 1)
    call.yield_to(call.writer.fence + 2)
    assert call.superseded.is_set()
    said = [r for r in caplog.records if "higher fence" in r.message]
    assert [r.__dict__["newer_fence"] for r in said] == [call.writer.fence + 1]


async def test_without_a_backend_nobody_else_can_own_the_conversation(call: Call) -> None:
    await call.load()
    assert await call.still_owns()
