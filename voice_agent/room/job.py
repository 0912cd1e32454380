"""One job: from the dispatch to the end of the call in its room.

Everything is loaded before the session starts (history loaded in ``on_enter`` loses the race with
the first words), connecting and loading side by side. livekit-agents waits for ``run`` to return,
so what lives as long as the call lives in a ``Supervision``.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from livekit import api
from livekit.agents import AgentSession, JobContext
from livekit.agents.llm import ChatMessage, Tool, Toolset
from livekit.agents.voice import events as lk
from livekit.agents.voice.room_io import RoomOptions, TextInputEvent, TextInputOptions

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock
from voice_agent.aio.pauses import PauseWatch
from voice_agent.aio.supervisor import Job, Jobs, Supervision
from voice_agent.call.asking import Asking
from voice_agent.call.call import Call
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.opening import opening
from voice_agent.call.person import Fact, Person, Profiles
from voice_agent.call.ports import CallSignals
from voice_agent.domain.errors import VoiceAgentError
from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId, JobId, RoomName
from voice_agent.room.agent import CallSide, VoiceAgent, chat_context_of
from voice_agent.room.ending import Ending
from voice_agent.room.forgetting import Forgetting
from voice_agent.room.listener import Listener
from voice_agent.room.metadata import pointer_of, with_conversation
from voice_agent.room.people import People
from voice_agent.room.persona import Persona
from voice_agent.room.rivals import FENCE_ATTRIBUTE, Rivals
from voice_agent.room.trouble import Trouble

log = logging.getLogger(__name__)

STOP_S = 2.0
PAUSE_S = 1.5
"""The lease (3 s) can only be another's after a longer pause: it was renewed at most 1 s before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParts:
    """What bootstrap hands to each job."""

    make_call: Callable[[Pointer, Place], Call]
    make_session: Callable[[Call], AgentSession[Any]]
    read_persona: Callable[[], Persona]
    profiles: Profiles
    make_tools: Callable[[Asking], list[Tool | Toolset]]
    clock: Clock
    new_id: Callable[[], str]
    connect_s: float
    brief_after_s: float
    observe: Callable[..., None]


class CallJob:
    """The job of one room."""

    def __init__(self, ctx: JobContext, parts: JobParts) -> None:
        self._ctx = ctx
        self._parts = parts
        self._ending = Ending(ctx.room)
        self._supervision = Supervision(
            clock=parts.clock,
            backoff=Backoff(),
            drain_s=STOP_S,
            on_failure=lambda: ctx.shutdown("recorder failed"),
        )
        self._call = parts.make_call(
            pointer_of(
                dispatch=ctx.job.metadata,
                room_metadata=ctx.job.room.metadata,
                room=RoomName(ctx.job.room.name),
                fresh_key=parts.new_id(),
            ),
            Place(room=RoomName(ctx.job.room.name), job_id=JobId(ctx.job.id)),
        )
        self._people: People | None = None
        self._agent: VoiceAgent | None = None
        self._jobs: Jobs | None = None
        self._trouble: Trouble | None = None
        self._handlers_s = 0.0  # since the agent began to listen
        self._shaped_from: tuple[Event, ...] = ()

    async def run(self) -> None:
        """Bring the agent into the room. Returns when the session has started.

        Raises whatever our own code raises, once the end of the call has a reason: livekit-agents
        then ends the job.
        """
        try:
            if self._call.needs_caller:
                await self._connect()
                await self._find_caller()
                await self._call.load()
            else:
                async with asyncio.TaskGroup() as together:
                    together.create_task(self._connect())
                    together.create_task(self._call.load())
            if self._call.already_served:
                self._ending.note("already_served")
                self._ctx.shutdown("already_served")
                return
            await self._begin()
        except BaseException:
            self._ending.note("agent_failed")
            raise

    async def _begin(self) -> None:
        session = self._parts.make_session(self._call)
        persona = self._parts.read_persona()
        people = self._people = People(self._ctx.room, self._call.recorder, on_person=self._met)
        listener = Listener(
            self._call.recorder,
            speaker=people.speaker,
            on_handled=self._handled,
            on_error=self._meet,
        )
        people.use(session)
        listener.attach(session)
        session.on("close", self._on_close)
        self._trouble = Trouble(
            session,
            sentence=persona.trouble,
            log_fields=lambda: self._call.log_fields,
            give_up=self._give_up,
        )
        self._trouble.watch()
        agent = self._agent = self._make_agent(people, persona)
        await session.start(
            agent,
            room=self._ctx.room,
            room_options=RoomOptions(
                text_input=TextInputOptions(text_input_cb=_on_typed),
                close_on_disconnect=False,  # one leaving ends nothing; see People
            ),
            session_host=False,  # else any participant may read the prompt (docs/livekit-agents.md)
            record=False,
        )
        await self._keep(session)
        people.watch()

    async def finish(self) -> None:
        """Record the end of the call (``on_session_end``). The room may be gone already."""
        reason = self._ending.reason(self._people)
        self._call.end(reason)
        await self._supervision.stop()
        self._parts.observe("voice_calls_ended", reason)

    async def _connect(self) -> None:
        async with asyncio.timeout(self._parts.connect_s):
            await self._ctx.connect()

    async def _find_caller(self) -> None:
        """Wait for whoever calls; where nobody comes in time the room stays the key."""
        try:
            async with asyncio.timeout(self._parts.connect_s):
                caller = await self._ctx.wait_for_participant()
        except TimeoutError:
            return
        self._call.point_to_caller(caller.identity)

    def _make_agent(self, people: People, persona: Persona) -> VoiceAgent:
        first = opening(
            self._call.recovered.events,
            now=self._parts.clock.now(),
            brief_after_s=self._parts.brief_after_s,
        )
        self._parts.observe("voice_calls_started", first.value)
        log.info("call begins", extra={**self._call.log_fields, "opening": first.value})
        present = people.present
        return VoiceAgent(
            persona=persona,
            caller=present[0].name if present else None,
            context=chat_context_of(self._call.store.conversation.window),
            first=first,
            tools=self._parts.make_tools(self._call.asking),
            call=CallSide(
                can_be_heard=lambda: self._can_be_heard(people), secured=self._call.secured
            ),
        )

    def _can_be_heard(self, people: People) -> bool:
        return (
            self._ctx.room.isconnected()
            and bool(people.present)
            and not self._call.superseded.is_set()
        )

    async def _keep(self, session: AgentSession[Any]) -> None:
        jobs = self._jobs = await self._supervision.start()
        await self._call.keep(jobs, self._signals(session, jobs))
        rivals = Rivals(self._ctx.room, on_fence=self._call.yield_to)
        rivals.watch()
        jobs.start_watch("pauses", lambda: self._watch_pauses(session, jobs))
        jobs.start_watch("superseded", lambda: self._watch_superseded(session))
        jobs.start_optional("show-fence", self._show_fence)
        session.on("agent_state_changed", lambda event: self._between_turns(event, jobs))

    def _met(self, person: Person) -> None:
        agent = self._agent
        if self._jobs is not None and agent is not None:
            self._jobs.start_optional("know-person", lambda: self._know(agent, person))

    async def _know(self, agent: VoiceAgent, person: Person) -> None:
        """Join what the room says of a person with what is kept about them, within a deadline."""
        kept: Mapping[str, Fact] = {}
        try:
            async with asyncio.timeout(self._parts.connect_s):
                kept = await self._parts.profiles.facts_of(person.identity)
        except (VoiceAgentError, TimeoutError) as exc:
            log.warning("profile not read", extra={"error_type": type(exc).__name__})
        known = Person(identity=person.identity, name=person.name, facts=kept)
        await agent.know(known.with_facts(person.facts))

    def _between_turns(self, event: lk.AgentStateChangedEvent, jobs: Jobs) -> None:
        if event.new_state != "listening":
            return
        self._parts.observe("voice_turn_overhead_seconds", value=self._handlers_s)
        self._handlers_s = 0.0
        self._shape_later(jobs)

    def _shape_later(self, jobs: Jobs) -> None:
        """Once the window was trimmed: show the model no more than the window."""
        window = self._call.store.conversation.window
        agent = self._agent
        if agent is None or window[:1] == self._shaped_from:
            return
        self._shaped_from = window[:1]
        jobs.start_optional("shape-context", lambda: agent.shape_context(window))

    def _signals(self, session: AgentSession[Any], jobs: Jobs) -> CallSignals:
        agent = self._agent
        assert agent is not None
        forgetting = Forgetting(session, jobs, self._parts.clock)
        return CallSignals(
            bound=lambda bound: self._bound(jobs, bound),
            history=lambda events: _started(
                jobs, "remember", partial(self._remember, agent, events, self._session_number)
            ),
            cleared=lambda keep_reply: forgetting.forget(
                keep_reply=keep_reply, log_fields=self._call.log_fields
            ),
        )

    @property
    def _session_number(self) -> int:
        return self._call.store.conversation.session_number

    async def _remember(
        self, agent: VoiceAgent, history: Sequence[Event], session_number: int
    ) -> None:
        if session_number == self._session_number:  # else it was cleared since
            await agent.remember(history)

    def _bound(self, jobs: Jobs, conversation_id: ConversationId) -> None:
        """The conversation is known, and with it the final fence."""
        _started(jobs, "room-pointer", lambda: self._write_pointer(conversation_id))
        _started(jobs, "show-fence", self._show_fence)

    async def _write_pointer(self, conversation_id: ConversationId) -> None:
        """Write the conversation into the room's metadata (S1.1); racing agents write the same."""
        text = with_conversation(self._ctx.room.metadata or "", conversation_id)
        if text is None:
            return
        await self._ctx.api.room.update_room_metadata(
            api.UpdateRoomMetadataRequest(room=self._ctx.room.name, metadata=text)
        )

    async def _show_fence(self) -> None:
        await self._ctx.room.local_participant.set_attributes(
            {FENCE_ATTRIBUTE: str(self._call.writer.fence)}
        )

    async def _watch_pauses(self, session: AgentSession[Any], jobs: Jobs) -> None:
        """After a pause of the process no sound before the lease was checked: it may be gone."""

        def on_pause(missed_s: float) -> None:
            log.warning("the process stood still: the lease is checked before anything is said",
                        extra={**self._call.log_fields, "duration_ms": round(missed_s * 1000)}
                        )  # fmt: skip
            if session.output.audio is not None:
                session.output.audio.pause()
            jobs.start_optional("check-lease", lambda: self._check_lease(session))

        with PauseWatch(self._parts.clock, longest_s=PAUSE_S, on_pause=on_pause):
            await jobs.stopping.wait()

    async def _check_lease(self, session: AgentSession[Any]) -> None:
        if await self._call.still_owns() and session.output.audio is not None:
            session.output.audio.resume()

    async def _watch_superseded(self, session: AgentSession[Any]) -> None:
        await self._call.superseded.wait()
        log.warning("agent goes silent: another one serves the conversation",
                    extra=self._call.log_fields)  # fmt: skip
        self._ending.note("superseded")
        session.output.set_audio_enabled(False)
        session.input.set_audio_enabled(False)
        self._ctx.shutdown("superseded")

    def _handled(self, name: str, took_s: float) -> None:
        self._parts.observe("voice_handler_seconds", name.strip("_"), value=took_s)
        self._handlers_s += took_s

    def _meet(self, event: lk.ErrorEvent) -> None:
        if self._trouble is not None:
            self._trouble.meet(event)

    def _give_up(self) -> None:
        self._ending.note("provider_failed")
        self._ctx.shutdown("provider_failed")

    def _on_close(self, event: lk.CloseEvent) -> None:
        """The session is over but the job would stay, mute, until the room closes: end it."""
        if event.reason == lk.CloseReason.ERROR:
            self._ending.note("session_error")
        self._ctx.shutdown(event.reason.value)


def _started(jobs: Jobs, name: str, job: Job) -> None:
    jobs.start_optional(name, job)


async def _on_typed(session: AgentSession[Any], event: TextInputEvent) -> None:
    """A typed line interrupts and is answered, like a spoken one; it says who typed it."""
    await session.interrupt()
    identity = event.participant.identity if event.participant else None
    message = ChatMessage(
        role="user", content=[event.text], extra={"modality": "text", "speaker": identity}
    )
    session.generate_reply(user_input=message)
