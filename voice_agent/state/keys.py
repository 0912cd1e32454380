"""Names of what Redis holds of a conversation.

All keys of one conversation have the same hash tag, so that a cluster keeps them on one node and a
script may touch them together. The tenant is in the tag: ids are unique within a tenant alone.
"""

from dataclasses import dataclass
from hashlib import sha256

from voice_agent.domain.ids import ConversationId

PREFIX = "throughline:v1"
"""Version 1, 2026-11: the first. Another format is another name: it begins cold, beside the old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one tenant's conversations."""

    tenant: str

    def head(self, conversation_id: ConversationId) -> str:
        """Who wrote the tail and how far: a hash."""
        return self._of(conversation_id, "head")

    def tail(self, conversation_id: ConversationId) -> str:
        """The newest events: a list."""
        return self._of(conversation_id, "tail")

    def lease(self, conversation_id: ConversationId) -> str:
        """Who speaks: a string that expires."""
        return self._of(conversation_id, "lease")

    def handle(self, conversation_id: ConversationId) -> str:
        """A provider's resumption handle: a string that expires."""
        return self._of(conversation_id, "handle")

    def _of(self, conversation_id: ConversationId, what: str) -> str:
        return f"{PREFIX}:{{{self.tenant}:{conversation_id}}}:{what}"


def tenant_of(token: str) -> str:
    """Name a tenant whose name is not known by the token that opens it.

    Agents with the same token share; docs/adr/0011 says what a change of tokens costs.
    """
    return sha256(b"throughline tenant " + token.encode()).hexdigest()[:16]
