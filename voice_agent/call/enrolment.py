"""How a call becomes a writer of its conversation: which one, under which fence, and whether alone.

Nothing is lost when the backend is away: the writer then has a fence claimed from the clock, and
what it writes waits in the outbox until the relay or ``introduce`` has found the conversation.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from voice_agent.aio.clock import Clock, unix_ms
from voice_agent.domain.errors import LayerUnavailable, RequestRefused, VoiceAgentError
from voice_agent.domain.ids import ConversationId, JobId, RoomName, WriterId
from voice_agent.state.codec import instant
from voice_agent.state.hot_lease import HotLeases
from voice_agent.state.ports import Backend, Registration, WriterGrant

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What says which conversation this is: its id, or the key to resolve it by."""

    key: str
    conversation_id: ConversationId | None = None
    source: str = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the call takes place."""

    room: RoomName
    job_id: JobId


class Enrolment:
    """One writer and its conversation.

    ``fence`` and ``session_number`` are guesses until ``registered``; the number then is the one
    that our window is in, and follows a clear only once the window was dropped.
    """

    def __init__(
        self,
        pointer: Pointer,
        place: Place,
        *,
        max_gap_s: float | None,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._place = place
        self._max_gap_s = max_gap_s
        self._clock = clock
        self._new_id = new_id
        self.pointer = pointer
        self.writer_id = WriterId(new_id())
        self.started_at: datetime = clock.now()
        self.conversation_id = pointer.conversation_id
        self.fence = unix_ms(self.started_at)
        self.session_number = 0
        self.grant: WriterGrant | None = None
        self.is_writing = False
        """The outbox names our fence already: what was said stays where it is."""

    def point_to_caller(self, identity: str) -> None:
        """Resolve the conversation by the caller's identity. Before ``introduce``."""
        self.pointer = replace(self.pointer, key=f"caller-{identity}")

    def name_alone(self) -> None:
        """Give the conversation an id without a backend."""
        self.conversation_id = self.conversation_id or ConversationId(self._new_id())

    async def introduce(self, backend: Backend) -> WriterGrant:
        """Resolve and register; a pointer to a conversation that is not ours begins a fresh one.

        May be repeated. Raises what the backend's port raises.
        """
        if self.conversation_id is not None:
            try:
                return await self._register(backend, self.conversation_id)
            except RequestRefused as exc:
                if exc.status not in {400, 404}:
                    raise
                log.warning(
                    "metadata names a conversation that the backend does not know: a fresh one",
                    extra={**self.log_fields, "source": self.pointer.source, "code": exc.code},
                )
                self.pointer = replace(self.pointer, key=self._new_id())
                self.conversation_id = None
        found = await backend.resolve_conversation(self.pointer.key, max_gap_s=self._max_gap_s)
        self.conversation_id = found.conversation_id
        return await self._register(backend, found.conversation_id)

    async def claim(self, leases: HotLeases) -> None:
        """Have Redis grant the fence, above all it has seen: the backend is away. Never raises."""
        if self.conversation_id is None or self.is_writing:
            return
        with suppress(LayerUnavailable):  # then it stays claimed from the clock
            self.fence = await leases.claim(
                self.conversation_id, started_ms=unix_ms(self.started_at)
            )

    async def withdraw(self, backend: Backend) -> None:
        """We came too late: say so, and leave no writer behind that looks lost."""
        assert self.conversation_id is not None
        try:
            await backend.end_writer(
                self.conversation_id,
                self.writer_id,
                reason="already_served",
                at=instant(self._clock.now()),
                last_ordinal=0,
            )
        except VoiceAgentError as exc:
            log.debug("not withdrawn", extra={"error_type": type(exc).__name__})

    @property
    def registered(self) -> bool:
        """The backend knows us."""
        return self.grant is not None

    @property
    def log_fields(self) -> dict[str, object]:
        """What names this writer in a log line."""
        return {
            "conversation_id": self.conversation_id,
            "writer_id": self.writer_id,
            "job_id": self._place.job_id,
            "session_number": self.session_number,
        }

    async def _register(self, backend: Backend, conversation_id: ConversationId) -> WriterGrant:
        grant = await backend.register_writer(
            conversation_id,
            Registration(
                writer_id=self.writer_id,
                started_at=instant(self.started_at),
                room=self._place.room,
                job_id=self._place.job_id,
                fence=self.fence if self.is_writing else None,
            ),
        )
        self.fence = grant.fence
        self.session_number = grant.session_number
        if self.is_writing and grant.fence_session is not None:
            self.session_number = grant.fence_session
        self.grant = grant
        return grant
