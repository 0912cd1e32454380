"""What leaves the window leaves a summary, as an event that says what it covers (S1.21)."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import SystemClock
from voice_agent.aio.supervisor import supervised
from voice_agent.call.recorder import Recorder
from voice_agent.call.summaries import Summaries, Summarised
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.events import Event, Message, Summary
from voice_agent.domain.patterns import Pattern, pattern_of
from voice_agent.domain.usage import Usage
from voice_agent.providers.summaries import SENTENCES_MAX, RuleSummariser
from voice_agent.state.store import Store, StoreEvents

AT = datetime(2026, 1, 1, tzinfo=UTC)
TOOK = Usage(service="llm", provider="p", model="m", counts={"requests": 1})


class Flaky:
    """A summariser that fails when told to."""

    def __init__(self) -> None:
        self.fails = 0
        self.asked: list[tuple[str, int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        self.asked.append((previous, len(messages)))
        await self.may_answer.wait()
        if self.fails:
            self.fails -= 1
            raise LayerUnavailable(layer="llm", op="summarise")
        return Summarised(text=f"{previous}+{len(messages)}", usage=TOOK)


class Call:
    """A store, a recorder and summaries, joined as ``call.call`` joins them."""

    def __init__(self, summariser: Flaky) -> None:
        self.recorded: list[Event] = []
        self.store = Store(
            outbox=None,
            conversation=Conversation(),
            limits=WindowLimits(keep=4, most=8),
            events=StoreEvents(
                degraded=lambda _: None,
                dropped=lambda _: None,
                trimmed=self._trimmed,
            ),
        )
        numbers = itertools.count(1)
        self.recorder = Recorder(
            store=self.store,
            clock=SystemClock(),
            new_id=lambda: f"e{next(numbers)}",
            on_recorded=self.recorded.append,
        )
        self.summaries = Summaries(summariser, self.recorder)

    def _trimmed(self, cut: Sequence[Event]) -> None:
        self.summaries.trimmed(cut)

    def say(self, count: int) -> None:
        for _ in range(count):
            self.recorder.record(Message(role="user", text="x"))

    async def summary(self, number: int) -> Event:
        async with asyncio.timeout(5):
            while len(found := [e for e in self.recorded if isinstance(e.body, Summary)]) < number:
                await asyncio.sleep(0.005)
        return found[-1]


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
async def call(flaky: Flaky) -> AsyncIterator[Call]:
    made = Call(flaky)
    async with supervised(clock=SystemClock(), backoff=Backoff(), drain_s=1.0) as jobs:
        jobs.start_watch("summaries", lambda: made.summaries.keep(jobs))
        yield made


async def test_a_trim_leaves_a_summary_that_says_what_it_covers(call: Call) -> None:
    call.say(9)
    event = await call.summary(1)
    assert isinstance(event.body, Summary)
    assert event.body.covers == {"up_to_event_id": "e5", "message_count": 5}
    window = call.store.conversation.window
    assert window[0] == event
    assert [e.event_id for e in window[1:]] == ["e6", "e7", "e8", "e9"]


async def test_what_a_summary_took_is_spent_in_the_call(call: Call) -> None:
    call.say(9)
    await call.summary(1)
    assert call.recorder.spending.take() == (TOOK,)


async def test_the_next_summary_takes_the_place_of_the_first_and_covers_both(call: Call) -> None:
    call.say(9)
    await call.summary(1)
    call.say(5)
    second = await call.summary(2)
    assert isinstance(second.body, Summary)
    assert second.body.text == "+5+5"
    assert second.body.covers["message_count"] == 10
    summaries = [e for e in call.store.conversation.window if isinstance(e.body, Summary)]
    assert summaries == [second]


async def test_a_clear_leaves_no_summary_of_what_it_cleared(call: Call, flaky: Flaky) -> None:
    """Neither one that was being written, nor in what the next one builds on."""
    call.say(9)
    await call.summary(1)
    flaky.may_answer.clear()
    call.say(5)
    async with asyncio.timeout(5):
        while len(flaky.asked) < 2:
            await asyncio.sleep(0.005)
    call.store.clear(1)
    call.summaries.forget()
    flaky.may_answer.set()
    call.say(9)
    second = await call.summary(2)
    assert isinstance(second.body, Summary)
    assert second.body.text == "+5"
    assert second.body.covers["message_count"] == 5


async def test_a_summary_that_fails_is_made_up_for_by_the_next(call: Call, flaky: Flaky) -> None:
    flaky.fails = 1
    call.say(9)
    async with asyncio.timeout(5):
        while flaky.fails:
            await asyncio.sleep(0.005)
    call.say(5)
    event = await call.summary(1)
    assert isinstance(event.body, Summary)
    assert event.body.covers["message_count"] == 10


async def test_the_rules_keep_names_places_and_numbers() -> None:
    said = ["Hello there.", "My name is Ada Lovelace.", "Nice weather.", "I live in Lisbon.",
            "The order is 4711.", "Then we met Grace."]  # fmt: skip
    made = await RuleSummariser().summarise("", [Message(role="user", text=t) for t in said])
    text = made.text
    for kept in ("Ada Lovelace", "Lisbon", "4711", "Grace"):
        assert kept in text
    assert "weather" not in text


async def test_the_rules_are_bounded_and_repeat_nothing() -> None:
    many = [Message(role="user", text=f"My number is {n}.") for n in range(100)]
    text = (await RuleSummariser().summarise("", many)).text
    assert len(text.splitlines()) == SENTENCES_MAX
    again = (await RuleSummariser().summarise(text, many[-3:])).text
    assert again == text


def test_the_pattern_follows_setting_and_length() -> None:
    assert pattern_of("auto", turns=500, retrieval_above=500) is Pattern.HYBRID
    assert pattern_of("auto", turns=501, retrieval_above=500) is Pattern.RETRIEVAL
    assert pattern_of("hybrid", turns=9_999, retrieval_above=1) is Pattern.HYBRID
    assert pattern_of("retrieval", turns=0, retrieval_above=1) is Pattern.RETRIEVAL
