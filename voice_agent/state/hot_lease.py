"""The lease in Redis: one key that expires, and the highest fence that Redis has seen.

If Redis forgets it (flush, failover) the backend's lease and the fences in the room still decide.
"""

from voice_agent.domain.errors import LeaseHeld, OwnershipLost
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.hot_scripts import CLAIM, RELEASE, RENEW, Scripts
from voice_agent.state.keys import Keys

LEASE_S = 3.0
"""As the backend's default: two heartbeats may be lost."""


class HotLeases:
    """The leases of one tenant's conversations. Every method raises ``LayerUnavailable``."""

    def __init__(
        self, scripts: Scripts, keys: Keys, *, ttl_s: int, lease_s: float = LEASE_S
    ) -> None:
        """``ttl_s``: how long the highest fence is remembered."""
        self._scripts = scripts
        self._keys = keys
        self._ttl_s = ttl_s
        self._lease_ms = round(lease_s * 1000)

    async def renew(
        self, conversation_id: ConversationId, writer_id: WriterId, *, fence: int
    ) -> int:
        """Take the lease or extend it; return the highest fence known. Safe to repeat.

        Raises:
            OwnershipLost: a living writer with a higher fence holds it: go silent.
            LeaseHeld: a living writer with a lower fence does: wait for its end.
        """
        outcome, holder, highest = await self._scripts.run(
            "renew_lease",
            RENEW,
            [self._keys.lease(conversation_id), self._keys.head(conversation_id)],
            [writer_id, fence, self._lease_ms, self._ttl_s],
        )
        if outcome == b"ours":
            return int(highest)
        if int(holder) > fence:
            raise OwnershipLost(fence=fence, newer=int(holder))
        raise LeaseHeld

    async def release(self, conversation_id: ConversationId, writer_id: WriterId) -> None:
        """Give the lease up, if it is this writer's. Safe to repeat."""
        await self._scripts.run(
            "release_lease", RELEASE, [self._keys.lease(conversation_id)], [writer_id]
        )

    async def claim(self, conversation_id: ConversationId, *, started_ms: int) -> int:
        """Grant a fence by the backend's rule: above all that are known, and the clock.

        A repeat grants another, higher one.
        """
        fence = await self._scripts.run(
            "claim_fence", CLAIM, [self._keys.head(conversation_id)], [started_ms, self._ttl_s]
        )
        return int(fence)
