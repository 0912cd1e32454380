"""Who may speak: the lease of one writer, kept by heartbeats.

The live holder of the lease wins. With Redis its lease decides, and the backend's where Redis
cannot be reached; one that cannot be reached is not lost: the call goes on. A writer that has lost
goes silent; what it had recorded is still accepted.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs
from voice_agent.domain.errors import (
    LayerUnavailable,
    LeaseHeld,
    OwnershipLost,
    RequestRefused,
    TransientError,
)
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.hot_lease import LEASE_S, HotLeases
from voice_agent.state.ports import Backend, LeaseState

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
"""ARCHITECTURE.md: the lease lives 3 s, so two heartbeats may be lost."""
MARGIN_S = 1.0
LOOK_S = 0.1
DISAGREE_S = LEASE_S + MARGIN_S + 2.0
"""A newcomer that got the backend's lease but not Redis's has left by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The writer that holds the lease, and how it says how far it is."""

    writer_id: WriterId
    conversation_id: Callable[[], ConversationId | None]
    fence: Callable[[], int]
    is_registered: Callable[[], bool]
    last_ordinal: Callable[[], int]
    session_number: Callable[[], int]


class Lease:
    """The lease of one call: acquired when it begins, kept while it lasts, released at its end."""

    def __init__(
        self,
        holder: Holder,
        *,
        backend: Backend,
        leases: HotLeases | None,
        clock: Clock,
        on_lost: Callable[[], None],
    ) -> None:
        """``leases``: those in Redis, if there is one. ``on_lost`` is called at most once."""
        self._holder = holder
        self._backend = backend
        self._leases = leases
        self._clock = clock
        self._on_lost = on_lost
        self._ours_until_s = 0.0
        """Redis said that the lease is ours; it does not change its mind before."""
        self._disagreed_at_s: float | None = None
        self.is_lost = False

    async def acquire(self, *, lease_s: float = LEASE_S) -> bool:
        """Wait until the lease is ours, a little longer than a dead holder keeps it.

        False: another agent is alive and serves the conversation. Never raises.
        """
        deadline_s = self._clock.monotonic_s() + lease_s + MARGIN_S
        while True:
            try:
                with suppress(LayerUnavailable):
                    await self._ask_redis()
                with suppress(TransientError, RequestRefused):
                    await self._ask_backend()
            except LeaseHeld:
                if self._clock.monotonic_s() > deadline_s:
                    break
                await self._clock.sleep(LOOK_S)
            except OwnershipLost:
                break
            else:
                return True
        log.info("another agent serves the conversation", extra=self._fields("acquire_lease"))
        await self.release()
        return False

    async def keep(self, jobs: Jobs, on_state: Callable[[LeaseState], Awaitable[None]]) -> None:
        """Renew the backend's lease until the call stops or the lease is lost.

        ``on_state``: what each answer says; must end well within the lease. A session number that
        it changed is reported at once.
        """
        while not self.is_lost and not jobs.stopping.is_set():
            known = self._holder.session_number()
            state = await self.beat()
            if state is not None:
                await on_state(state)
            if self._holder.session_number() == known:
                await jobs.stopped(within_s=HEARTBEAT_S)

    async def keep_in_redis(self, jobs: Jobs) -> None:
        """Renew the lease in Redis until the call stops or the lease is lost, then release it."""
        while not self.is_lost and not await jobs.stopped(within_s=HEARTBEAT_S):
            await self._beat_redis()
        await self.release()

    async def beat(self) -> LeaseState | None:
        """Renew the backend's lease now; None: it did not answer, or refused."""
        try:
            state = await self._ask_backend()
        except OwnershipLost as exc:
            if not self._is_kept_by_redis():
                self._lose("backend", exc)
        except (LeaseHeld, TransientError, RequestRefused) as exc:
            log.debug("lease not renewed", extra={"error_type": type(exc).__name__})
        else:
            self._disagreed_at_s = None
            return state
        return None

    async def check(self) -> bool:
        """Ask now whether the lease is still ours; who cannot be reached says nothing.

        For the moment after a pause: the lease may have gone to another agent meanwhile.
        """
        if not self.is_lost:
            await self._beat_redis()
        if not self.is_lost:
            await self.beat()
        return not self.is_lost

    async def release(self) -> None:
        """Give up the lease in Redis; the backend's ends with the call. May be repeated."""
        conversation_id = self._holder.conversation_id()
        self._ours_until_s = 0.0
        if self._leases is not None and conversation_id is not None:
            with suppress(LayerUnavailable):
                await self._leases.release(conversation_id, self._holder.writer_id)

    async def _ask_redis(self) -> None:
        conversation_id = self._holder.conversation_id()
        if self._leases is None or conversation_id is None:
            return
        asked_at_s = self._clock.monotonic_s()
        await self._leases.renew(
            conversation_id, self._holder.writer_id, fence=self._holder.fence()
        )
        self._ours_until_s = asked_at_s + LEASE_S

    async def _ask_backend(self) -> LeaseState | None:
        conversation_id = self._holder.conversation_id()
        if conversation_id is None or not self._holder.is_registered():
            return None  # the backend does not know us yet
        return await self._backend.renew_lease(
            conversation_id,
            self._holder.writer_id,
            last_ordinal=self._holder.last_ordinal(),
            session_number=self._holder.session_number(),
        )

    async def _beat_redis(self) -> None:
        try:
            await self._ask_redis()
        except OwnershipLost as exc:
            self._lose("redis", exc)
        except (LeaseHeld, LayerUnavailable) as exc:
            log.debug("lease not renewed in redis", extra={"error_type": type(exc).__name__})

    def _is_kept_by_redis(self) -> bool:
        """Redis has our lease: the newcomer that the backend prefers waits for it, and leaves."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._ours_until_s:
            return False
        if self._disagreed_at_s is None:
            self._disagreed_at_s = now_s
        return now_s - self._disagreed_at_s < DISAGREE_S

    def _lose(self, layer: str, exc: OwnershipLost) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        log.warning("lease lost: another agent owns the conversation",
                    extra={**self._fields("renew_lease"), "layer": layer,
                           "newer_fence": exc.newer})  # fmt: skip
        self._on_lost()

    def _fields(self, op: str) -> dict[str, object]:
        return {
            "op": op,
            "conversation_id": self._holder.conversation_id(),
            "writer_id": self._holder.writer_id,
            "fence": self._holder.fence(),
        }
