"""One call with a real AgentSession, call, listener and outbox file, and scripted models.

Tests look at what is in the file: what a killed process would have left.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.agents import AgentSession, NotGivenOr
from livekit.agents.llm import ChatContext, Tool, Toolset
from livekit.agents.types import NOT_GIVEN, APIConnectOptions
from livekit.agents.voice.agent_session import SessionConnectOptions

from simulators.scripted.line import ScriptedInput, ScriptedOutput
from simulators.scripted.pipeline import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD
from simulators.scripted.realtime import ScriptedRealtimeModel, ScriptedRealtimeSession
from tests.support.waiting import wait_for
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.call import Call, CallLayers, CallSettings
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.opening import Opening
from voice_agent.call.summaries import Summarised
from voice_agent.domain.conversation import WindowLimits
from voice_agent.domain.events import ErrorReported, Event, Message, Speaker, TurnEnded, TurnStarted
from voice_agent.domain.ids import Identity, JobId, RoomName
from voice_agent.domain.turns import SLACK_S
from voice_agent.room.agent import CallSide, VoiceAgent
from voice_agent.room.listener import Listener
from voice_agent.room.persona import Persona
from voice_agent.state import frames
from voice_agent.state.codec import decode_event
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.handles import OwnHandles
from voice_agent.state.outbox import Placement

ADA = Speaker(identity=Identity("ada"))
PERSONA = Persona(name="Tess", instructions="THE SECRET PROMPT", greeting="greet", resume="resume",
                  farewell="bye", trouble="trouble")  # fmt: skip
SETTINGS = CallSettings(
    load_s=1.0, limits=WindowLimits(), key="room", pattern="auto", retrieval_above=1000,
    max_gap_s=None,
)  # fmt: skip


class Unwatched:
    """Counts nothing and summarises nothing (``CallObserver``, ``Summariser``)."""

    def recorded(self, event: Event) -> None: ...

    def degraded(self, layer: str, *, on: bool) -> None: ...

    def hydrated(self, source: str, duration_s: float) -> None: ...

    def secured(self, waited_s: float, *, in_time: bool) -> None: ...

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        return Summarised(text=previous)


@dataclass(kw_only=True)
class Scene:
    """What a test drives, and what it may look at."""

    session: AgentSession[Any]
    call: Call
    listener: Listener
    folder: Path
    vad: ScriptedVAD
    stt: ScriptedSTT
    model: ScriptedLLM
    voice: ScriptedTTS
    realtime: ScriptedRealtimeModel | None
    loudspeaker: ScriptedOutput
    is_over: bool = False

    @property
    def live(self) -> ScriptedRealtimeSession:
        """The realtime model's connection."""
        assert self.realtime is not None
        return self.realtime.live

    def events(self) -> list[Event]:
        """What the outbox file holds."""
        path = self.folder / f"{self.call.writer.writer_id}.outbox"
        found = [
            decode_event(item.payload)
            for item in frames.read(path.read_bytes())
            if isinstance(item, Frame) and item.type == FrameType.EVENT
        ]
        assert [e.ordinal for e in found] == list(range(1, len(found) + 1))
        return found

    def file_text(self) -> str:
        """The outbox file as it is."""
        return "".join(p.read_bytes().decode(errors="replace") for p in self.folder.iterdir())

    def events_of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events() if isinstance(e.body, kind)]

    def bodies(self, kind: type[Any]) -> list[Any]:
        return [e.body for e in self.events() if isinstance(e.body, kind)]

    def messages(self, role: str | None = None) -> list[Message]:
        return [m for m in self.bodies(Message) if role in (None, m.role)]

    def said(self, role: str = "user") -> list[str]:
        return [m.text for m in self.messages(role)]

    def turns(self) -> list[str]:
        """The turns in the order of a reader: what was said in each, and how it ended."""
        lines: dict[str, list[str]] = {}
        ends: dict[str, str] = {}
        for event in self.events():
            turn = str(event.turn_id)
            match event.body:
                case TurnStarted():
                    lines[turn] = []
                case Message(role=role, text=text, interrupted=cut):
                    lines[turn].append(f"{role}: {text}" + (" (cut)" if cut else ""))
                case TurnEnded(outcome=outcome):
                    assert turn not in ends, "a turn ends once"
                    ends[turn] = outcome
        for said in lines.values():
            said.sort(key=lambda one: not one.startswith("user"))
        return [" | ".join([*lines[turn], ends.get(turn, "open")]) for turn in lines]

    async def until_said(self, *texts: str, role: str = "user") -> None:
        await wait_for(lambda: self.said(role) == list(texts), what=f"{role} said {texts}")

    async def until_answered(self, text: str) -> None:
        await wait_for(lambda: text in self.said("assistant"))

    async def until_errors(self, count: int) -> None:
        await wait_for(lambda: len(self.bodies(ErrorReported)) == count)

    async def until_turns(self, *turns: str) -> None:
        try:
            await wait_for(lambda: self.turns() == list(turns))
        except AssertionError:
            raise AssertionError(f"{self.turns()} and not {list(turns)}") from None

    async def speaks(self, *finals: str) -> None:
        """Somebody says something, and it is recognised before the silence is long enough."""
        self.vad.begin()
        await wait_for(lambda: self.session.user_state == "speaking")
        for text in finals:
            self.stt.final(text)
        self.vad.end()
        await wait_for(lambda: self.session.user_state == "listening")

    def hear_out(self) -> None:
        """Let the caller hear this reply, and all later ones, to the end."""
        self.loudspeaker.plays_at_once = True
        self.loudspeaker.finish()

    async def a_moment_later(self) -> None:
        """Let a little more time pass than two clocks may differ by."""
        began = time.monotonic()
        await wait_for(lambda: time.monotonic() - began > 1.5 * SLACK_S)

    async def idle(self) -> None:
        """Wait until nobody speaks and nothing is prepared."""
        await wait_for(lambda: self.session.agent_state == "listening")
        await asyncio.sleep(0)

    async def hang_up(self) -> None:
        """End the call as a job does: the session first, then the record of the end."""
        if not self.is_over:
            self.is_over = True
            with suppress(ConnectionError):
                await self.session.aclose()
            self.call.end("caller_left")


@asynccontextmanager
async def scene(
    folder: Path,
    *,
    call: Call | None = None,
    agent: type[VoiceAgent] = VoiceAgent,
    tools: Sequence[Tool | Toolset] = (),
    realtime: ScriptedRealtimeModel | None = None,
    with_stt: bool | None = None,
    preemptive: bool = False,
    plays_at_once: bool = True,
    patience_s: float = 0.0,
) -> AsyncIterator[Scene]:
    """Begin a call; at the end of the block it is hung up.

    ``patience_s``: how long a silence ends a turn. ``call``: one that is loaded; none: a call that
    has an outbox and no backend.
    """
    call = call or await written_call(folder)
    vad, stt, model, voice = ScriptedVAD(), ScriptedSTT(), ScriptedLLM(), ScriptedTTS()
    with_stt = realtime is None if with_stt is None else with_stt
    session = _session(
        vad=vad if with_stt else None,
        stt=stt if with_stt else NOT_GIVEN,
        model=realtime or model,
        voice=voice,
        preemptive=preemptive,
        patience_s=patience_s,
        is_realtime=realtime is not None,
    )
    listener = Listener(
        call.recorder, speaker=lambda: ADA, on_handled=lambda *_: None, on_error=lambda _: None
    )
    listener.attach(session)
    loudspeaker = ScriptedOutput(plays_at_once=plays_at_once)
    session.input.audio = ScriptedInput()
    session.output.audio = loudspeaker
    made = Scene(
        session=session, call=call, listener=listener, folder=folder, vad=vad, stt=stt,
        model=model, voice=voice, realtime=realtime, loudspeaker=loudspeaker,
    )  # fmt: skip
    await session.start(
        agent(
            persona=PERSONA, caller="Ada", context=ChatContext.empty(), first=Opening.SILENT,
            tools=list(tools), call=CallSide(can_be_heard=lambda: False),
        )
    )  # fmt: skip
    try:
        yield made
    finally:
        made.hear_out()
        voice.may_speak.set()
        await made.hang_up()


async def written_call(folder: Path) -> Call:
    """A call that has an outbox and no backend."""
    nobody = Unwatched()
    layers = CallLayers(
        backend=None, placement=Placement(folder=folder), clock=SystemClock(), new_id=new_id,
        observer=nobody, summariser=nobody, handles=OwnHandles(SystemClock()),
    )  # fmt: skip
    place = Place(room=RoomName("room"), job_id=JobId("job"))
    call = Call(settings=SETTINGS, layers=layers, pointer=Pointer(key="room"), place=place)
    await call.load()
    return call


def _session(
    *,
    vad: ScriptedVAD | None,
    stt: NotGivenOr[ScriptedSTT],
    model: ScriptedLLM | ScriptedRealtimeModel,
    voice: ScriptedTTS,
    preemptive: bool,
    patience_s: float,
    is_realtime: bool,
) -> AgentSession[Any]:
    once = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=5.0)
    return AgentSession(
        vad=vad,
        stt=stt,
        llm=model,
        tts=voice,
        turn_handling={
            "turn_detection": "realtime_llm" if is_realtime else "vad",
            "endpointing": {"mode": "fixed", "min_delay": patience_s, "max_delay": patience_s},
            "interruption": {
                "mode": "vad", "min_duration": 0.0, "resume_false_interruption": False,
            },
            "preemptive_generation": {"enabled": preemptive, "preemptive_tts": preemptive},
        },
        aec_warmup_duration=None,
        user_away_timeout=None,
        session_close_transcript_timeout=0.1,
        conn_options=SessionConnectOptions(stt_conn_options=once, llm_conn_options=once),
    )  # fmt: skip
