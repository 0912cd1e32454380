"""What AgentSession announces becomes events of the log, each exactly once.

Which announcement carries what is not what their names say: docs/livekit-agents.md has the table.
Handlers are synchronous and short; one that raises is logged and counted, and the call goes on.
"""

import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from livekit.agents import AgentSession
from livekit.agents.llm import AgentHandoff, ChatMessage
from livekit.agents.voice import events as lk
from livekit.agents.voice.speech_handle import SpeechHandle

from voice_agent.call.recorder import Recorder
from voice_agent.domain.events import (
    AgentState,
    ErrorReported,
    Handoff,
    Interruption,
    Message,
    Speaker,
    Speech,
    Transcription,
)
from voice_agent.domain.ids import Identity, ItemId, SpeechId, TurnId
from voice_agent.domain.words import Words
from voice_agent.providers.usage import usage_of
from voice_agent.room.tool_calls import ToolCalls

log = logging.getLogger(__name__)

SEEN_MAX = 500
"""Announcements of the same item come at most a few items apart (docs/livekit-agents.md)."""
DELAYS = {
    "transcription_delay": "transcription_s",
    "end_of_turn_delay": "end_of_turn_s",
    "llm_node_ttft": "llm_ttft_s",
    "tts_node_ttfb": "tts_ttfb_s",
    "e2e_latency": "e2e_s",
}

Handler = TypeVar("Handler", bound=Callable[..., None])


def _contained(handler: Handler) -> Handler:
    """Log what a handler raises (STYLE 19: the wrapper round the hooks)."""

    @functools.wraps(handler)
    def wrapped(self: "Listener", event: Any) -> None:
        try:
            handler(self, event)
        except Exception as exc:
            fields = {"op": handler.__name__, "error_type": type(exc).__name__}
            log.exception("handler failed", extra=fields)

    return wrapped  # type: ignore[return-value]


def _timed(handler: Handler) -> Handler:
    """Contain a handler and say how long it took: a figure on its way to the worker."""
    contained = _contained(handler)

    @functools.wraps(handler)
    def wrapped(self: "Listener", event: Any) -> None:
        began = time.perf_counter()
        contained(self, event)
        self.on_handled(handler.__name__, time.perf_counter() - began)

    return wrapped  # type: ignore[return-value]


class Listener:
    """Listens to one session for the length of its call."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        speaker: Callable[[], Speaker | None],
        on_handled: Callable[[str, float], None],
        on_error: Callable[[lk.ErrorEvent], None],
    ) -> None:
        self._recorder = recorder
        self._speaker = speaker
        self._on_error = on_error
        self._session: AgentSession[Any] | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._finals: dict[ItemId, Transcription] = {}
        self._words = Words()
        self._tools = ToolCalls()
        self._speeches: dict[SpeechId, str] = {}
        self.on_handled = on_handled

    def attach(self, session: AgentSession[Any]) -> None:
        """Begin to listen. Before ``session.start``, so that nothing is missed."""
        self._session = session
        session.on("user_state_changed", self._handle_user_state)
        session.on("agent_state_changed", self._handle_agent_state)
        session.on("user_input_transcribed", self._handle_transcription)
        session.on("conversation_item_added", self._handle_conversation_item)
        session.on("tool_execution_updated", self._handle_tool)
        session.on("function_tools_executed", self._handle_tools_executed)
        session.on("speech_created", self._handle_speech_created)
        session.on("error", self._handle_error)
        # past the session's own method, which logs a warning in every call; see providers/usage.py
        super(AgentSession, session).on("metrics_collected", self._handle_metrics)
        session.on("close", self._handle_close)

    @_timed
    def _handle_user_state(self, event: lk.UserStateChangedEvent) -> None:
        turns = self._recorder.turns
        if event.new_state == "speaking":
            self._recorder.record_all(turns.user_began(self._speaker(), at=event.created_at))
        else:
            turns.user_paused()

    @_timed
    def _handle_agent_state(self, event: lk.AgentStateChangedEvent) -> None:
        turns = self._recorder.turns
        if event.new_state == "speaking":
            self._recorder.record_all(turns.agent_began(self._current_speech()))
        self._recorder.record(AgentState(state=event.new_state), turns.current)

    @_timed
    def _handle_transcription(self, event: lk.UserInputTranscribedEvent) -> None:
        """Record what became final at once, unless its item is announced in the same breath.

        A realtime model names the item and announces it before it returns; a pipeline names none
        and announces one later, for the whole turn, or never.
        """
        item_id = ItemId(event.item_id) if event.item_id else None
        if item_id is not None and self._is_final(item_id):
            return
        if not event.is_final:
            if event.transcript.strip():
                self._recorder.record_all(self._recorder.turns.user_half_said(self._heard(event)))
            return
        if not event.transcript.strip():
            self._recorder.record_all(self._recorder.turns.user_said_nothing(item_id))
        elif item_id is None:
            self._record_part(event)
        else:
            self._finals[item_id] = self._transcription(event)

    def _is_final(self, item_id: ItemId) -> bool:
        """Whether this item's final words came before; they may come twice."""
        return item_id in self._finals or item_id in self._seen

    def _record_part(self, event: lk.UserInputTranscribedEvent) -> None:
        turns = self._recorder.turns
        message = self._heard(event)
        if self._is_hung_up() and turns.half_said(None) == message.text:
            # livekit-agents makes a final transcript of the last partial one: nobody ended it
            message = replace(message, interrupted=True)
        entries = turns.user_said_part(message)
        self._recorder.record_all(entries)
        turn_id, _ = entries[-1]
        assert turn_id is not None
        self._recorder.record(self._transcription(event), turn_id)
        self._words.recorded(message.text, turn_id)

    def _is_hung_up(self) -> bool:
        """Whether nobody can be heard any more: a session that closes lets go of its audio."""
        return self._session is not None and self._session.input.audio is None

    def _transcription(self, event: lk.UserInputTranscribedEvent) -> Transcription:
        return Transcription(
            speaker=self._speaker(),
            item_id=ItemId(event.item_id) if event.item_id else None,
            language=str(event.language) if event.language else None,
            word_count=len(event.transcript.split()),
        )

    def _heard(self, event: lk.UserInputTranscribedEvent) -> Message:
        return Message(
            role="user",
            text=event.transcript.strip(),
            speaker=self._speaker(),
            item_id=ItemId(event.item_id) if event.item_id else None,
        )

    @_timed
    def _handle_conversation_item(self, event: lk.ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, AgentHandoff | ChatMessage):
            return
        if isinstance(item, ChatMessage) and not (item.text_content or "").strip():
            return
        if self._is_repeated(item.id):
            return
        if isinstance(item, AgentHandoff):
            self._recorder.record(
                Handoff(from_agent=item.old_agent_id, to_agent=item.new_agent_id or "")
            )
        else:
            self._record_message(item)

    def _record_message(self, item: ChatMessage) -> None:
        delays = {ours: float(item.metrics[name])  # type: ignore[literal-required]
                  for name, ours in DELAYS.items() if name in item.metrics}  # fmt: skip
        if item.role == "user":
            self._recorder.turns.measured(self._record_user(item), delays)
        else:
            self._record_reply(item, delays)

    def _record_user(self, item: ChatMessage) -> TurnId | None:
        """Record what an item says and no transcript said before; return its turn."""
        turns = self._recorder.turns
        message = self._user_message(item)
        final = self._finals.pop(ItemId(item.id), None)
        if message.modality == "text":
            entries = turns.user_typed(message)
        elif final is None and (turn_id := self._words.claim(message.text)) is not None:
            self._recorder.record_all(turns.user_finished(turn_id))
            return turn_id
        else:
            began_at = item.metrics.get("started_speaking_at")
            entries = turns.user_said(message, began_at=began_at)
        self._recorder.record_all(entries)
        turn_id, _ = entries[-1]
        if final is not None:
            self._recorder.record(final, turn_id)
        return turn_id

    def _record_reply(self, item: ChatMessage, delays: Mapping[str, float]) -> None:
        turns = self._recorder.turns
        speech_id = self._current_speech()
        message = Message(
            role="assistant" if item.role == "assistant" else "system",
            text=item.text_content or "",
            interrupted=item.interrupted,
            item_id=ItemId(item.id),
        )
        turn_id = turns.turn_of(speech_id) if speech_id else turns.current
        turns.measured(turn_id, delays)
        self._recorder.record_all(turns.agent_said(speech_id, message))
        if item.interrupted:
            self._recorder.record(
                Interruption(item_id=ItemId(item.id), speech_id=speech_id), turn_id
            )

    def _user_message(self, item: ChatMessage) -> Message:
        # what nobody recognised was typed: speech always has a confidence, if only 0
        typed = item.extra.get("modality") == "text" or item.transcript_confidence is None
        named = item.extra.get("speaker")
        speaker = Speaker(identity=Identity(named)) if isinstance(named, str) else self._speaker()
        return Message(
            role="user",
            text=item.text_content or "",
            speaker=speaker,
            interrupted=item.interrupted,
            modality="text" if typed else "voice",
            item_id=ItemId(item.id),
        )

    @_timed
    def _handle_tool(self, event: lk.ToolExecutionUpdatedEvent) -> None:
        self._recorder.record_all(self._recorder.turns.agent_began(self._current_speech()))
        turn_id = self._current_turn()
        self._recorder.record_all(self._tools.updated(event, turn_id))
        if isinstance(event.update, lk.ToolCallStarted):
            self._recorder.turns.agent_acted(turn_id, reply_follows=self._replies_by_itself())

    def _replies_by_itself(self) -> bool:
        """Whether the model answers a tool's result unasked, in a speech of its own."""
        if self._session is None:
            return False
        model = self._session.current_agent.llm or self._session.llm
        capabilities = getattr(model, "capabilities", None)  # pipelines' models have none
        return bool(getattr(capabilities, "auto_tool_reply_generation", False))

    @_timed
    def _handle_tools_executed(self, event: lk.FunctionToolsExecutedEvent) -> None:
        self._recorder.record_all(self._tools.executed(event, self._current_turn()))

    @_timed
    def _handle_speech_created(self, event: lk.SpeechCreatedEvent) -> None:
        handle = event.speech_handle
        speech_id = SpeechId(handle.id)
        self._speeches[speech_id] = event.source
        self._recorder.record_all(self._recorder.turns.speech_created(speech_id))
        handle.add_done_callback(self._handle_speech_done)

    @_timed
    def _handle_speech_done(self, handle: SpeechHandle) -> None:
        speech_id = SpeechId(handle.id)
        source = self._speeches.pop(speech_id, "generate_reply")
        turn_id = self._recorder.turns.turn_of(speech_id)
        heard = tuple(ItemId(item.id) for item in handle.chat_items)
        if heard or not handle.interrupted:  # a reply prepared too early was never a speech
            self._recorder.record(
                Speech(
                    speech_id=speech_id,
                    source=source,
                    interrupted=handle.interrupted,
                    item_ids=heard,
                ),
                turn_id,
            )
        self._recorder.record_all(
            self._recorder.turns.speech_done(speech_id, interrupted=handle.interrupted)
        )

    @_timed
    def _handle_error(self, event: lk.ErrorEvent) -> None:
        error = event.error
        cause = getattr(error, "error", error)
        self._recorder.record(
            ErrorReported(
                source=type(event.source).__name__,
                error_type=type(cause).__name__,
                recoverable=bool(getattr(error, "recoverable", False)),
            ),
            self._recorder.turns.current,
        )
        if getattr(error, "type", "") == "stt_error":
            self._recorder.record_all(self._recorder.turns.user_cut_off())
        self._on_error(event)

    @_contained
    def _handle_metrics(self, event: lk.MetricsCollectedEvent) -> None:
        """Not timed: detectors report all the time, also while nobody speaks."""
        usage = usage_of(event.metrics)
        if usage is not None:
            self._recorder.spending.add(usage)

    @_timed
    def _handle_close(self, event: lk.CloseEvent) -> None:
        self._recorder.record_all(self._tools.closed())

    def _current_turn(self) -> TurnId | None:
        """The turn of what the agent says or does right now."""
        speech_id = self._current_speech()
        turns = self._recorder.turns
        return (turns.turn_of(speech_id) if speech_id else None) or turns.current

    def _current_speech(self) -> SpeechId | None:
        handle = self._session.current_speech if self._session else None
        return SpeechId(handle.id) if handle is not None else None

    def _is_repeated(self, item_id: str) -> bool:
        """The same item may be announced twice (docs/livekit-agents.md)."""
        if item_id in self._seen:
            return True
        self._seen[item_id] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return False
