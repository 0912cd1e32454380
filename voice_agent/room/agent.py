"""The lifecycle hooks of livekit-agents: what each is good for, and no more.

Nothing is saved here: ``on_exit`` also runs on a handoff and not on a crash, and
``on_user_turn_completed`` is not called for realtime models and typed text. The listener records.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from livekit import rtc
from livekit.agents import Agent, ModelSettings
from livekit.agents.llm import (
    LLM,
    ChatContext,
    ChatItem,
    ChatMessage,
    FunctionCall,
    FunctionCallOutput,
    Tool,
    Toolset,
)
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD

from voice_agent.call.opening import Opening
from voice_agent.call.person import Person
from voice_agent.domain.events import Event, Message, Summary, ToolCall, ToolResult
from voice_agent.room.persona import Persona

log = logging.getLogger(__name__)

FAREWELL_S = 4.0
"""A farewell must not hold the shutdown up (livekit/agents#4345)."""


async def _at_once() -> None:
    """Nothing to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Models of an agent in the place of its session's."""

    vad: VAD
    stt: STT[Any]
    llm: LLM[Any]
    tts: TTS[Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """As ``Agent`` takes them."""
        return {"vad": self.vad, "stt": self.stt, "llm": self.llm, "tts": self.tts}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSide:
    """What an agent asks of its call. ``secured`` holds a reply back (see ``tts_node``)."""

    can_be_heard: Callable[[], bool]
    secured: Callable[[], Awaitable[None]] = _at_once
    models: Models | None = None
    """None: those of the session."""


class VoiceAgent(Agent):
    """The agent of one call."""

    def __init__(
        self,
        *,
        persona: Persona,
        caller: str | None,
        context: ChatContext,
        first: Opening,
        tools: list[Tool | Toolset],
        call: CallSide,
    ) -> None:
        super().__init__(
            instructions=persona.instructions_for(caller),
            chat_ctx=context,
            tools=tools,
            **({} if call.models is None else call.models.arguments),
        )
        self._persona = persona
        self._caller = caller
        self._first = first
        self._call = call

    async def on_enter(self) -> None:
        """Say what the call opens with; nothing when it simply goes on."""
        first, self._first = self._first, Opening.SILENT  # a handoff back does not greet again
        if first is Opening.GREET:
            self.session.generate_reply(instructions=self._persona.greeting)
        elif first is Opening.BRIEF:
            self.session.generate_reply(instructions=self._persona.resume)

    async def on_exit(self) -> None:
        """Say farewell if the call ends while somebody can hear it: a drained worker, mostly.

        Also runs on a handoff: then another agent goes on, and there is nothing to say.
        """
        if self.session.current_agent is not self or not self._call.can_be_heard():
            return
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self.session.say(self._persona.farewell, allow_interruptions=False)
        except (TimeoutError, RuntimeError):
            log.debug("farewell not said")

    def successor(
        self, *, instructions: str, tools: Sequence[Tool | Toolset] | None = None
    ) -> "VoiceAgent":
        """Make the agent that a tool hands the call over to: it knows all and greets nobody.

        livekit-agents gives a new agent an empty context (docs/livekit-agents.md).
        """
        return VoiceAgent(
            persona=replace(self._persona, instructions=instructions),
            caller=None,
            context=self.chat_ctx.copy(exclude_instructions=True),
            first=Opening.SILENT,
            tools=list(self.tools if tools is None else tools),
            call=self._call,
        )

    def moved_to(self, models: Models) -> "VoiceAgent":
        """Make the agent that goes on with other models, when this one's have failed for good."""
        return VoiceAgent(
            persona=self._persona,
            caller=self._caller,
            context=self.chat_ctx.copy(exclude_instructions=True),
            first=Opening.SILENT,
            tools=list(self.tools),
            call=replace(self._call, models=models),
        )

    async def shape_context(self, window: Sequence[Event]) -> None:
        """Show the model the window, not the whole call.

        A realtime session takes it as the shape of its next seed, and is not told (docs/gemini.md).
        """
        await self.update_chat_ctx(shaped(self.chat_ctx, window))

    async def know(self, person: Person) -> None:
        """Tell the model who calls; what it is told is data, cut to what cannot be an order."""
        await self.update_instructions(self._persona.instructions_for(person.name, person.facts))

    async def remember(self, history: Sequence[Event]) -> None:
        """Put in front of the call what could only be read after it had begun."""
        context = chat_context_of(history)
        context.items.extend(self.chat_ctx.items)
        await self.update_chat_ctx(context)

    async def forget(self, *, before_s: float) -> None:
        """A new session began: stop what is being said, and show the model nothing of before.

        ``before_s``: when (unix time). A reply that is cut short is put into the context by
        livekit-agents when it ends, so the context is looked at again then.
        """
        await self.show_nothing()
        await self.session.interrupt(force=True)
        await self.drop(before_s=before_s)

    async def show_nothing(self) -> None:
        """Empty the model's context; the instructions stay."""
        await self.update_chat_ctx(ChatContext.empty())

    async def drop(self, *, before_s: float) -> None:
        """Leave out of the model's context what began before (unix time)."""
        left = since(self.chat_ctx, before_s)
        if len(left.items) < len(self.chat_ctx.items):
            await self.update_chat_ctx(left)

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncIterator[rtc.AudioFrame]:
        """Hold the first sound back until the caller's words are as safe as asked for.

        Here and not in ``on_user_turn_completed``: that is not called for every turn
        (docs/livekit-agents.md), and speech is made meanwhile, so that the wait costs little.
        """
        async for frame in Agent.default.tts_node(self, text, model_settings):
            await self._call.secured()
            yield frame

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        """Only for turns of the STT-LLM-TTS pipeline. Must not raise: that would be silence.

        The place of context enrichment; until it exists there is nothing to add.
        """


def shaped(context: ChatContext, window: Sequence[Event]) -> ChatContext:
    """Cut a live context to what the window still holds, with its summary in front.

    Whatever came after the oldest kept item stays, recorded or not: it may belong to a turn that is
    not over. livekit-agents puts the instructions back by itself.
    """
    ids = {e.event_id for e in window} | {i for e in window if (i := _item_id(e)) is not None}
    calls = {e.body.call_id for e in window if isinstance(e.body, ToolCall | ToolResult)}
    first = next(
        (n for n, item in enumerate(context.items)
         if item.id in ids or getattr(item, "call_id", None) in calls),
        None,
    )  # fmt: skip
    if first is None:
        return context.copy()
    oldest = next((e.body for e in window if not isinstance(e.body, Summary)), None)
    if isinstance(oldest, Message) and oldest.role == "user" and oldest.item_id is None:
        # recorded before its item had an id (docs/adr/0012): it stands before what came of it
        while first and _is_of_user(context.items[first - 1]):
            first -= 1
    result = ChatContext.empty()
    for event in window:
        if isinstance(event.body, Summary):
            result.add_message(role="system", content=event.body.text, id=event.event_id,
                               created_at=context.items[first].created_at)  # fmt: skip
    known = {item.id for item in result.items}
    result.items.extend(item for item in context.items[first:] if item.id not in known)
    return result


def since(context: ChatContext, at_s: float) -> ChatContext:
    """Leave out what began before ``at_s`` (unix time), and results of calls that did."""
    items = [item for item in context.items if item.created_at >= at_s]
    calls = {item.call_id for item in items if isinstance(item, FunctionCall)}
    return ChatContext(
        [i for i in items if not isinstance(i, FunctionCallOutput) or i.call_id in calls]
    )


def _is_of_user(item: ChatItem) -> bool:
    return isinstance(item, ChatMessage) and item.role == "user"


def _item_id(event: Event) -> str | None:
    return event.body.item_id if isinstance(event.body, Message | ToolCall) else None


def chat_context_of(history: Sequence[Event]) -> ChatContext:
    """Make the model's context of recorded events: messages, summaries, whole tool pairs."""
    context = ChatContext.empty()
    results = {e.body.call_id: e.body for e in history if isinstance(e.body, ToolResult)}
    for event in history:
        match event.body:
            case Message(role=role, text=text, interrupted=interrupted):
                context.add_message(
                    role=role,
                    content=text,
                    id=event.body.item_id or event.event_id,
                    interrupted=interrupted,
                    created_at=event.at.timestamp(),
                )
            case Summary(text=text):
                context.add_message(role="system", content=text, id=event.event_id)
            case ToolCall(call_id=call_id) as call if call_id in results:
                _add_tool_pair(context, event, call, results[call_id])
            case _:
                pass
    return context


def _add_tool_pair(context: ChatContext, event: Event, call: ToolCall, result: ToolResult) -> None:
    at = event.at.timestamp()
    context.insert(
        FunctionCall(
            id=event.event_id, call_id=call.call_id, name=call.name, arguments=call.arguments,
            created_at=at,
        )
    )  # fmt: skip
    context.insert(
        FunctionCallOutput(
            call_id=call.call_id, name=call.name, output=result.output, is_error=result.is_error,
            created_at=at,
        )
    )  # fmt: skip
