"""How a call becomes a writer of its conversation: which one, under which fence, and whether alone.

Nothing is lost when the backend is away: the writer then has a fence claimed from the clock, and
what it writes waits in the outbox until the relay or ``introduce`` has found the conversation.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from voice_agent.aio.clock import Clock, unix_ms
from voice_agent.domain.errors import (
    LeaseHeld,
    OwnershipLost,
    RequestRefused,
    VoiceAgentError,
)
from voice_agent.domain.ids import ConversationId, JobId, RoomName, WriterId
from voice_agent.state.codec import instant
from voice_agent.state.ports import Backend, Registration, WriterGrant

log = logging.getLogger(__name__)

LEASE_MARGIN_S = 1.0
LEASE_LOOK_S = 0.1


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

    ``fence`` and ``session_number`` are guesses until ``registered``.
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

    async def own(self, backend: Backend, grant: WriterGrant) -> bool:
        """Wait until the lease is ours, a little longer than a dead holder keeps it.

        A lease that cannot be reached is not lost: the call goes on.
        """
        assert self.conversation_id is not None
        deadline_s = self._clock.monotonic_s() + grant.lease_s + LEASE_MARGIN_S
        while True:
            try:
                await backend.renew_lease(
                    self.conversation_id,
                    self.writer_id,
                    last_ordinal=0,
                    session_number=self.session_number,
                )
            except LeaseHeld:
                if self._clock.monotonic_s() > deadline_s:
                    log.info("another agent serves the conversation", extra=self.log_fields)
                    return False
                await self._clock.sleep(LEASE_LOOK_S)
            except OwnershipLost:
                return False
            except VoiceAgentError:
                return True
            else:
                return True

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
        self.grant = grant
        return grant
