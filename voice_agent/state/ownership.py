"""Who may speak: the lease of one writer, kept by a heartbeat.

The live holder of the lease wins. A lease that cannot be reached is not lost: the call goes on. A
writer that learns of a higher fence goes silent; what it had recorded is still accepted.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from voice_agent.aio.supervisor import Jobs
from voice_agent.domain.errors import LeaseHeld, OwnershipLost, RequestRefused, TransientError
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.ports import Backend, LeaseState

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
"""ARCHITECTURE.md: the lease lives 3 s, so two heartbeats may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The writer that holds the lease, and how it says how far it is."""

    conversation_id: Callable[[], ConversationId | None]
    writer_id: WriterId
    last_ordinal: Callable[[], int]
    session_number: Callable[[], int]


class Lease:
    """The lease of one call."""

    def __init__(
        self,
        holder: Holder,
        *,
        backend: Backend,
        on_lost: Callable[[], None],
        on_state: Callable[[LeaseState], None],
    ) -> None:
        self._holder = holder
        self._backend = backend
        self._on_lost = on_lost
        self._on_state = on_state
        self.is_lost = False
        self.is_waiting = False
        """Another agent is alive and holds the lease."""

    async def keep(self, jobs: Jobs) -> None:
        """Renew the lease until the call stops or the lease is lost."""
        while not self.is_lost and not jobs.stopping.is_set():
            if not await self._beat():
                await jobs.stopped(within_s=HEARTBEAT_S)

    async def _beat(self) -> bool:
        """Send one heartbeat; say whether the next one has news to tell and should not wait."""
        conversation_id = self._holder.conversation_id()
        if conversation_id is None:
            return False  # the backend has not named the conversation yet
        known = self._holder.session_number()
        try:
            state = await self._backend.renew_lease(
                conversation_id,
                self._holder.writer_id,
                last_ordinal=self._holder.last_ordinal(),
                session_number=known,
            )
        except LeaseHeld:
            self.is_waiting = True
        except OwnershipLost:
            self.is_lost = True
            log.warning("lease lost: another agent owns the conversation",
                        extra={"op": "renew_lease", "conversation_id": conversation_id,
                               "writer_id": self._holder.writer_id})  # fmt: skip
            self._on_lost()
        except (TransientError, RequestRefused) as exc:
            log.debug("lease not renewed", extra={"error_type": type(exc).__name__})
        else:
            self.is_waiting = False
            self._on_state(state)
            return self._holder.session_number() != known
        return False
