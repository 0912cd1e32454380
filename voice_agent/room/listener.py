"""What AgentSession announces becomes events of the log, each exactly once.

Which announcement carries what is not what their names say: docs/livekit-agents.md has the table.
Handlers are synchronous and short; one that raises is logged and counted, and the call goes on.
"""

import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
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
    ToolCall,
    ToolResult,
    Transcription,
)
from voice_agent.domain.ids import CallId, Identity, ItemId, SpeechId

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
    """Log what a handler raises, and time it (STYLE 19: the wrapper round the hooks)."""

    @functools.wraps(handler)
    def wrapped(self: "Listener", event: Any) -> None:
        began = time.perf_counter()
        try:
            handler(self, event)
        except Exception as exc:
            fields = {"op": handler.__name__, "error_type": type(exc).__name__}
            log.exception("handler failed", extra=fields)
        finally:
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
        self._speeches: dict[SpeechId, str] = {}
        self.on_handled = on_handled

    def attach(self, session: AgentSession[Any]) -> None:
        """Begin to listen. Before ``session.start``, so that nothing is missed."""
        self._session = session
        session.on("user_state_changed", self._handle_user_state)
        session.on("agent_state_changed", self._handle_agent_state)
        session.on("user_input_transcribed", self._handle_transcription)
        session.on("conversation_item_added", self._handle_conversation_item)
        session.on("function_tools_executed", self._handle_tools_executed)
        session.on("speech_created", self._handle_speech_created)
        session.on("error", self._handle_error)

    @_contained
    def _handle_user_state(self, event: lk.UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._recorder.record_all(self._recorder.turns.user_began(self._speaker()))

    @_contained
    def _handle_agent_state(self, event: lk.AgentStateChangedEvent) -> None:
        self._recorder.record(AgentState(state=event.new_state), self._recorder.turns.current)

    @_contained
    def _handle_transcription(self, event: lk.UserInputTranscribedEvent) -> None:
        if not event.is_final:
            return
        self._recorder.record(
            Transcription(
                speaker=self._speaker(),
                item_id=ItemId(event.item_id) if event.item_id else None,
                language=str(event.language) if event.language else None,
                word_count=len(event.transcript.split()),
            ),
            self._recorder.turns.current,
        )

    @_contained
    def _handle_conversation_item(self, event: lk.ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, AgentHandoff | ChatMessage) or self._is_repeated(item.id):
            return
        if isinstance(item, AgentHandoff):
            self._recorder.record(
                Handoff(from_agent=item.old_agent_id, to_agent=item.new_agent_id or "")
            )
        elif (item.text_content or "").strip():
            self._record_message(item)

    def _record_message(self, item: ChatMessage) -> None:
        turns = self._recorder.turns
        speech_id = self._current_speech()
        delays = {ours: float(item.metrics[name])  # type: ignore[literal-required]
                  for name, ours in DELAYS.items() if name in item.metrics}  # fmt: skip
        if item.role == "user":
            self._recorder.record_all(turns.user_said(self._user_message(item)))
            turns.measured(None, delays)
            return
        message = Message(
            role="assistant" if item.role == "assistant" else "system",
            text=item.text_content or "",
            interrupted=item.interrupted,
            item_id=ItemId(item.id),
        )
        turn_id = turns.turn_of(speech_id) if speech_id else None
        turns.measured(speech_id, delays)
        self._recorder.record_all(turns.agent_said(speech_id, message))
        if item.interrupted:
            self._recorder.record(
                Interruption(item_id=ItemId(item.id), speech_id=speech_id), turn_id
            )

    def _user_message(self, item: ChatMessage) -> Message:
        typed = item.extra.get("modality") == "text"
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

    @_contained
    def _handle_tools_executed(self, event: lk.FunctionToolsExecutedEvent) -> None:
        speech_id = self._current_speech()
        turns = self._recorder.turns
        turn_id = (turns.turn_of(speech_id) if speech_id else None) or turns.current
        for call, output in event.zipped():
            self._recorder.record(
                ToolCall(
                    call_id=CallId(call.call_id),
                    name=call.name,
                    arguments=call.arguments,
                    item_id=ItemId(call.id),
                ),
                turn_id,
            )
            self._recorder.record(
                ToolResult(
                    call_id=CallId(call.call_id),
                    name=call.name,
                    output=output.output,
                    is_error=output.is_error,
                ),
                turn_id,
            )

    @_contained
    def _handle_speech_created(self, event: lk.SpeechCreatedEvent) -> None:
        handle = event.speech_handle
        speech_id = SpeechId(handle.id)
        self._speeches[speech_id] = event.source
        self._recorder.record_all(self._recorder.turns.speech_created(speech_id))
        handle.add_done_callback(self._handle_speech_done)

    @_contained
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

    @_contained
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
        self._on_error(event)

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
