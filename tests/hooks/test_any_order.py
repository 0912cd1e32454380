"""Whatever the framework announces, late, twice, edited or never: each utterance is there once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.agents import AgentSession
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import events as lk

from simulators.scripted.line import ScriptedInput
from tests.hooks.scene import ADA
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.events import Event, Message, TurnEnded, TurnStarted
from voice_agent.room.listener import Listener
from voice_agent.state.store import Store, StoreEvents


@dataclass(kw_only=True)
class Told:
    """A session that only announces, and what was recorded of it."""

    session: AgentSession[Any]
    recorder: Recorder
    events: list[Event] = field(default_factory=list)

    def state(self, *, speaking: bool) -> None:
        states = ("listening", "speaking") if speaking else ("speaking", "listening")
        self.session.emit(
            "user_state_changed",
            lk.UserStateChangedEvent(old_state=states[0], new_state=states[1]),  # type: ignore[arg-type]
        )

    def transcript(self, text: str, *, final: bool, item_id: str | None = None) -> None:
        self.session.emit(
            "user_input_transcribed",
            lk.UserInputTranscribedEvent(transcript=text, is_final=final, item_id=item_id),
        )

    def item(self, text: str, *, item_id: str, typed: bool = False) -> None:
        item = ChatMessage(role="user", content=[text], id=item_id,
                           transcript_confidence=None if typed else 0.9)  # fmt: skip
        self.session.emit("conversation_item_added", lk.ConversationItemAddedEvent(item=item))

    def realtime(self, text: str, *, item_id: str) -> None:
        """A realtime model's final transcript comes with its item, in one breath."""
        self.transcript(text, final=True, item_id=item_id)
        self.item(text, item_id=item_id)

    @property
    def said(self) -> list[str]:
        """What people said, in the order of a reader."""
        began = {e.turn_id: e.ordinal for e in self.events if isinstance(e.body, TurnStarted)}
        asked = [e for e in self.events if isinstance(e.body, Message)]
        asked.sort(key=lambda e: (began[e.turn_id], e.ordinal))
        return [e.body.text for e in asked if isinstance(e.body, Message)]


def told() -> Told:
    events: list[Event] = []
    store = Store(
        outbox=None, conversation=Conversation(), limits=WindowLimits(keep=500, most=1000),
        events=StoreEvents(degraded=lambda _: None, dropped=lambda _: None,
                           trimmed=lambda _: None),
    )  # fmt: skip
    recorder = Recorder(store=store, clock=SystemClock(), new_id=new_id, on_recorded=events.append)
    session = AgentSession[Any](vad=None, turn_handling={"turn_detection": None})
    session.input.audio = ScriptedInput()
    listener = Listener(
        recorder, speaker=lambda: ADA, on_handled=lambda *_: None, on_error=lambda _: None
    )
    listener.attach(session)
    return Told(session=session, recorder=recorder, events=events)


FATES = st.sampled_from(["announced", "twice", "edited", "never"])
TIMES = {"never": 0, "twice": 2}
LINE = st.tuples(st.sampled_from(["spoken", "typed"]), st.integers(1, 3), FATES)


@dataclass(kw_only=True)
class Script:
    """Draws what the framework announces, and keeps what was really said."""

    call: Told
    maybe: Callable[[], bool]
    pick: Callable[[int], int]
    expected: list[str] = field(default_factory=list)
    late: list[tuple[str, str]] = field(default_factory=list)

    def typed(self, number: int, fate: str) -> None:
        self.expected.append(f"typed{number}")
        for _ in range(1 + (fate == "twice")):
            self.call.item(f"typed{number}", item_id=f"i{number}", typed=True)

    def spoken(self, number: int, piece_count: int, fate: str) -> None:
        """A turn of a pipeline in pieces; its item comes later and in order, or never."""
        words = [f"w{number}.{piece}" for piece in range(piece_count)]
        self.expected += words
        for text in words:
            if self.maybe():
                self.call.state(speaking=True)
            if self.maybe():
                self.call.transcript("w", final=False)
            self.call.transcript(text, final=True)
            if self.maybe():
                self.call.transcript("", final=True)
            self.call.state(speaking=False)
        text = f"({number})" if fate == "edited" else " ".join(words)
        self.late += [(text, f"i{number}")] * TIMES.get(fate, 1)
        while self.late and self.maybe():
            self.announce_next()

    def announce_next(self) -> None:
        text, item_id = self.late.pop(0)
        self.call.item(text, item_id=item_id)

    def realtime(self, number: int, fate: str) -> None:
        """An utterance whose transcript comes later, in any order, empty or never."""
        text, item_id = "" if fate == "edited" else f"w{number}", f"i{number}"
        self.call.state(speaking=True)
        half = self.maybe()
        if half:
            self.call.transcript("half", final=False, item_id=item_id)
        self.call.state(speaking=False)
        self.late += [(text, item_id)] * TIMES.get(fate, 1)
        if fate != "never":
            self.expected += [text] if text else []
        elif half:
            self.expected.append("half")
        while self.late and self.maybe():
            self.transcribe_any()

    def transcribe_any(self) -> None:
        text, item_id = self.late.pop(self.pick(len(self.late)))
        self.call.realtime(text, item_id=item_id)


def script(data: st.DataObject) -> Script:
    booleans = st.booleans()
    return Script(
        call=told(),
        maybe=lambda: data.draw(booleans),
        pick=lambda count: data.draw(st.integers(0, count - 1)),
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(LINE, max_size=8), st.data())
def test_a_pipelines_utterances_are_there_once_and_in_order(
    lines: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    async def run() -> Script:
        told_by = script(data)
        for number, (kind, piece_count, fate) in enumerate(lines):
            if kind == "typed":
                told_by.typed(number, fate)
            else:
                told_by.spoken(number, piece_count, fate)
        while told_by.late:
            told_by.announce_next()
        if told_by.maybe():
            told_by.call.transcript("half", final=False)
            told_by.expected.append("half")
        return told_by

    told_by = asyncio.run(run())
    told_by.call.recorder.record_all(told_by.call.recorder.turns.closed())
    assert told_by.call.said == told_by.expected
    check_turns(told_by.call)


@settings(max_examples=80, deadline=None)
@given(st.lists(FATES, max_size=8), st.data())
def test_a_realtime_models_utterances_are_there_once(fates: list[str], data: st.DataObject) -> None:
    async def run() -> Script:
        told_by = script(data)
        for number, fate in enumerate(fates):
            told_by.realtime(number, fate)
        while told_by.late:
            told_by.transcribe_any()
        return told_by

    told_by = asyncio.run(run())
    told_by.call.recorder.record_all(told_by.call.recorder.turns.closed())
    assert sorted(told_by.call.said) == sorted(told_by.expected)
    check_turns(told_by.call)


def check_turns(call: Told) -> None:
    """Each message is in a turn that had begun; each turn ends once, empty if nobody spoke."""
    began = [e.turn_id for e in call.events if isinstance(e.body, TurnStarted)]
    ended = [e.turn_id for e in call.events if isinstance(e.body, TurnEnded)]
    assert sorted(map(str, began)) == sorted(map(str, ended))
    spoken = {e.turn_id for e in call.events if isinstance(e.body, Message)}
    assert spoken <= set(began)
