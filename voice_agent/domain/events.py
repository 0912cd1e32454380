"""The events of the conversation log: a closed list of kinds (docs/events.md), each with its body.

An event is written once and never changed. Its place in the log is its writer's fence and its
``ordinal``; its identity is ``event_id``. Neither the conversation nor the fence is in it: both
belong to the writer, and either may only become final after the event was recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from voice_agent.domain.ids import CallId, EventId, Identity, ItemId, SpeechId, TurnId
from voice_agent.domain.usage import Usage

Role = Literal["user", "assistant", "system"]
Modality = Literal["voice", "text"]
Outcome = Literal["completed", "interrupted", "abandoned", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The person a message is from."""

    identity: Identity
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Someone in the room: ``kind`` is LiveKit's (standard, sip, agent ...)."""

    identity: Identity
    name: str = ""
    kind: str = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The one stored message of an utterance or a reply."""

    kind: ClassVar[str] = "message"
    role: Role
    text: str
    speaker: Speaker | None = None
    interrupted: bool = False
    modality: Modality = "voice"
    item_id: ItemId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """A final transcript. Refers to its message by ``item_id``; holds no words itself."""

    kind: ClassVar[str] = "transcription"
    speaker: Speaker | None = None
    item_id: ItemId | None = None
    language: str | None = None
    word_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The agent spoke, or tried to. ``source``: say or generate_reply."""

    kind: ClassVar[str] = "speech"
    speech_id: SpeechId
    source: str
    interrupted: bool = False
    item_ids: tuple[ItemId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model called a tool; ``arguments`` is JSON text."""

    kind: ClassVar[str] = "tool_call"
    call_id: CallId
    name: str
    arguments: str
    item_id: ItemId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool answered."""

    kind: ClassVar[str] = "tool_result"
    call_id: CallId
    name: str
    output: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """Reasoning that a model exposed."""

    kind: ClassVar[str] = "thinking"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAction:
    """Something a person did without words (dtmf, mute, unmute, data)."""

    kind: ClassVar[str] = "user_action"
    action: str
    identity: Identity | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """Recorded when speech starts: its ordinal places the whole turn in the conversation."""

    kind: ClassVar[str] = "turn_started"
    initiator: Literal["user", "agent"]
    speaker: Speaker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded:
    """The turn is over. ``delays`` in seconds, as livekit-agents measured them.

    ``usage``: what the call has spent since it last said so, this turn's part and what came late
    of earlier ones.
    """

    kind: ClassVar[str] = "turn_ended"
    outcome: Outcome
    delays: Mapping[str, float] = field(default_factory=dict)
    usage: tuple[Usage, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """The agent began to listen, think or speak."""

    kind: ClassVar[str] = "agent_state"
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A reply was cut short by the person."""

    kind: ClassVar[str] = "interruption"
    item_id: ItemId | None = None
    speech_id: SpeechId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined:
    """Someone came into the room."""

    kind: ClassVar[str] = "participant_joined"
    participant: Participant


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft:
    """Someone left the room; ``reason`` is LiveKit's."""

    kind: ClassVar[str] = "participant_left"
    participant: Participant
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """One agent handed the conversation to another."""

    kind: ClassVar[str] = "handoff"
    from_agent: str | None = None
    to_agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """A provider's connection was renewed: resumed, resynced, reseeded or failed."""

    kind: ClassVar[str] = "reconnect"
    provider: str
    outcome: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The state beside the messages, as a whole."""

    kind: ClassVar[str] = "state_changed"
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What stands in the window for messages that were trimmed; the originals stay readable.

    ``covers``: ``{"up_to_event_id": last event covered, "message_count": how many}``.
    """

    kind: ClassVar[str] = "summary"
    text: str
    covers: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReported:
    """Something failed; ``detail`` names it without user content."""

    kind: ClassVar[str] = "error"
    source: str
    error_type: str
    recoverable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Stands in the place of a record that could not be read or delivered."""

    kind: ClassVar[str] = "lost"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCleared:
    """A new session began. Only the backend makes this."""

    kind: ClassVar[str] = "context_cleared"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """The writer is done. Only the backend makes this (``writers/{id}/end``)."""

    kind: ClassVar[str] = "call_ended"
    reason: str = ""
    usage: tuple[Usage, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A kind from a later version, kept as it is."""

    kind: ClassVar[str] = "unknown"
    fields: Mapping[str, Any]


Body = (
    Message
    | Transcription
    | Speech
    | ToolCall
    | ToolResult
    | Thinking
    | UserAction
    | TurnStarted
    | TurnEnded
    | AgentState
    | Interruption
    | ParticipantJoined
    | ParticipantLeft
    | Handoff
    | Reconnect
    | StateChanged
    | Summary
    | ErrorReported
    | Lost
    | ContextCleared
    | CallEnded
    | Unknown
)

KINDS: Mapping[str, type] = {
    body.kind: body
    for body in (
        Message,
        Transcription,
        Speech,
        ToolCall,
        ToolResult,
        Thinking,
        UserAction,
        TurnStarted,
        TurnEnded,
        AgentState,
        Interruption,
        ParticipantJoined,
        ParticipantLeft,
        Handoff,
        Reconnect,
        StateChanged,
        Summary,
        ErrorReported,
        Lost,
        ContextCleared,
        CallEnded,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the log, as its writer made it.

    ``ordinal`` counts from 1 per writer; 0 is an event that the backend made.
    ``session_number`` is only set when it is known to be final.
    """

    event_id: EventId
    ordinal: int
    at: datetime
    body: Body
    turn_id: TurnId | None = None
    session_number: int | None = None

    @property
    def kind(self) -> str:
        """The kind as stored; of an unknown one, the name it came with."""
        if isinstance(self.body, Unknown):
            return str(self.body.fields.get("kind", "unknown"))
        return self.body.kind
