"""What the state layers need of others, in domain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.domain.usage import Usage
from voice_agent.state.entries import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConversation:
    """A conversation as the backend knows it; ``missing`` lists ordinals that never came."""

    conversation_id: ConversationId
    session_number: int = 0
    version: int = 0
    missing: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A writer introduces itself. ``fence`` is what it claimed, if it could not ask first."""

    writer_id: WriterId
    started_at: str
    kind: str = "call"
    room: str | None = None
    job_id: str | None = None
    fence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousWriter:
    """How far an earlier writer came, as far as the backend knows."""

    writer_id: WriterId
    fence: int
    last_ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterGrant:
    """The backend's answer to a registration: the fence is final.

    ``previous``: the newest writer below it that wrote anything, empty if there is none; None: the
    backend does not say. ``fence_session``: the session that was open at the fence, lower than
    ``session_number`` if the context was cleared since the fence was claimed; None: not said.
    """

    fence: int
    session_number: int
    version: int
    lease_s: float
    previous: tuple[PreviousWriter, ...] | None = None
    fence_session: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """What a heartbeat learns."""

    session_number: int
    highest_fence: int
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a stored batch is answered with."""

    acknowledged: int
    session_number: int
    highest_fence: int


class Backend(Protocol):
    """The source of truth, as far as the state layers need it (see ``BackendClient``)."""

    async def resolve_conversation(
        self, key: str, *, max_gap_s: float | None = None
    ) -> BackendConversation: ...
    async def get_conversation(self, conversation_id: ConversationId) -> BackendConversation: ...
    async def register_writer(
        self, conversation_id: ConversationId, registration: Registration
    ) -> WriterGrant: ...
    async def renew_lease(
        self,
        conversation_id: ConversationId,
        writer_id: WriterId,
        *,
        last_ordinal: int,
        session_number: int,
    ) -> LeaseState: ...
    async def end_writer(
        self,
        conversation_id: ConversationId,
        writer_id: WriterId,
        *,
        reason: str,
        at: str,
        last_ordinal: int,
        usage: tuple[Usage, ...] | None = None,
    ) -> None: ...
    async def store_events(
        self, conversation_id: ConversationId, writer_id: WriterId, events: Sequence[bytes]
    ) -> Stored: ...
    async def get_recent_entries(
        self, conversation_id: ConversationId, limit: int = 20
    ) -> list[Entry]: ...
