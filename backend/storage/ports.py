"""What a database must be able to do: implemented by ``sqlite`` and ``postgres``.

Every method is one transaction: when it returns, its effect survives a power cut; when it raises,
nothing was stored. All of them may be repeated. Another tenant's ids raise NotFound, exactly like
unknown ones. Any of them raises Unavailable when the database is away or full.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from backend.rules.retention import Keep
from backend.storage.records import (
    AgentLife,
    Batch,
    Call,
    Change,
    Cleared,
    Conversation,
    ConversationUsage,
    EventFilter,
    Expected,
    Fork,
    Heartbeat,
    Hit,
    NewWriter,
    Profile,
    Reader,
    Registration,
    SilentWriter,
    Standing,
    Stored,
    Token,
    WriterEnd,
)


class Tokens(Protocol):
    """Who may do what."""

    async def add_token(self, digest: bytes, token: Token, now_ms: int) -> None:
        """Store a token under the sha256 of its secret."""
        ...

    async def token(self, digest: bytes) -> Token | None:
        """Find a token by the sha256 of its secret; the secret itself is never compared."""
        ...


class Conversations(Protocol):
    """Conversations and their events."""

    async def resolve(
        self, by: Token, key: str, *, max_gap_s: float | None, now_ms: int
    ) -> tuple[Conversation, bool]:
        """Get or create the conversation of ``key``; the bool says whether it is new."""
        ...

    async def conversation(self, reader: Reader, id_: str, *, now_ms: int) -> Conversation:
        """Read one conversation."""
        ...

    async def conversations(
        self, reader: Reader, *, limit: int, after: str | None, now_ms: int
    ) -> list[Conversation]:
        """List conversations, newest first, after the one with the id ``after``."""
        ...

    async def events(self, reader: Reader, id_: str, filter_: EventFilter) -> list[bytes]:
        """List events as JSON objects, ascending by position."""
        ...

    async def last_position(self, reader: Reader, id_: str) -> int:
        """Say the position of a conversation's newest event; 0: it has none."""
        ...

    async def messages(
        self, reader: Reader, id_: str, *, last: int, before: str | None
    ) -> list[bytes]:
        """List the last messages before one, in conversation order, oldest first."""
        ...

    async def usage(
        self, reader: Reader, id_: str, *, limit: int, after: str | None
    ) -> ConversationUsage:
        """Read what models used up: in all, and of ``limit`` calls that did, newest first.

        ``after``: the writer of the last call of the page before. Pruning takes nothing of it.
        """
        ...

    async def clear(
        self, tenant: str, id_: str, *, event_id: str, reason: str | None, now_ms: int
    ) -> Cleared:
        """Advance the session number and store ``context_cleared``, in one transaction."""
        ...

    async def has_dropped(self, tenant: str, id_: str, session_number: int, now_ms: int) -> bool:
        """Say whether no live writer still works in a session before ``session_number``."""
        ...


class Writers(Protocol):
    """Writers, their leases and what they store."""

    async def register(
        self, tenant: str, id_: str, writer: NewWriter, *, lease_s: float, now_ms: int
    ) -> Registration:
        """Make a writer's fence final. Repeated: the same answer."""
        ...

    async def renew(
        self, tenant: str, id_: str, writer_id: str, beat: Heartbeat, *, now_ms: int
    ) -> Standing:
        """Extend a writer's lease; raise Conflict when another writer holds it."""
        ...

    async def end_writer(
        self, tenant: str, id_: str, writer_id: str, end: WriterEnd, *, now_ms: int
    ) -> Standing:
        """Close a writer and its open turns, and store ``call_ended``; the first one wins."""
        ...

    async def silent_writers(
        self, *, before_ms: int, after: SilentWriter | None, limit: int
    ) -> list[SilentWriter]:
        """List writers that have not ended and gave no sign since ``before_ms``, from one on.

        Of all tenants, ascending by (tenant, conversation, writer).
        """
        ...

    async def store_events(self, tenant: str, batch: Batch, *, now_ms: int) -> Stored:
        """Store a batch, all or nothing; what is known already keeps its position.

        Events of the ``passing`` kinds have no row and position 0; their ids, digests and ordinals
        are kept like all others, so that they may be repeated too.
        """
        ...


class Calls(Protocol):
    """Rooms that need an agent. A claim is the row lock of the dispatcher."""

    async def open_call(self, by: Token, call: Call, *, new_conversation: bool) -> None:
        """Store a new room of a conversation, which is created when it is new."""
        ...

    async def call(self, reader: Reader, room: str) -> Call:
        """Read one call."""
        ...

    async def calls_of(self, reader: Reader, conversation_id: str) -> list[Call]:
        """List the calls of a conversation that are not closed, newest first."""
        ...

    async def wake_call(self, tenant: str, room: str, *, now_ms: int) -> Call:
        """Make a call due at once, whatever its state."""
        ...

    async def claim_calls(
        self, claimant: str, *, now_ms: int, until_ms: int, limit: int
    ) -> Sequence[Call]:
        """Take due calls that nobody else holds, until ``until_ms``."""
        ...

    async def save_call(self, claimant: str, call: Call, *, claimed_due_ms: int) -> None:
        """Store what became of a claimed call and let go of it, if the claim still holds."""
        ...

    async def wake_lost_calls(self, *, now_ms: int, lost_before_ms: int) -> int:
        """Make calls due whose agent's lease ran out unnoticed; say how many."""
        ...

    async def agent_life(
        self, tenant: str, conversation_id: str, room: str, *, now_ms: int
    ) -> AgentLife | None:
        """Say what is known of the writer of this room that lives, else of the newest one."""
        ...


class Copies(Protocol):
    """Conversations as a whole."""

    async def order(self, reader: Reader, id_: str) -> Sequence[int]:
        """List the positions of all events in conversation order."""
        ...

    async def events_at(self, reader: Reader, id_: str, positions: Sequence[int]) -> list[bytes]:
        """Read the events at ``positions``, in that order; those that are gone are left out."""
        ...

    async def fork(self, by: Token, fork: Fork, *, now_ms: int) -> tuple[Conversation, bool]:
        """Store a copy in one transaction; the bool says whether it is new.

        Repeated: the same conversation. Raises Conflict when its id is taken by anything else.
        """
        ...


class Search(Protocol):
    """The words of messages. The index follows the log; writing a batch never waits for it."""

    async def index_messages(self, *, limit: int) -> int:
        """Index messages that wait for it among ``limit`` events of one conversation.

        Returns how many events were looked at; 0: none wait. Two replicas may call it at once.
        """
        ...

    async def search(
        self, reader: Reader, id_: str, words: Sequence[str], *, limit: int
    ) -> list[Hit]:
        """Find messages that have all ``words`` (rules.words), the last perhaps only begun.

        The best of the newest ``COMPARED`` that match, best first. What the conversation still
        lacks in the index is indexed before, oldest first, up to ``CATCH_UP`` events: so what was
        answered as stored is found.
        """
        ...


CATCH_UP: Final = 2_000
"""How far behind the index of a conversation may be and searches still find everything."""


COMPARED: Final = 50
"""How many of the newest matches are ranked: a word that everybody says costs no more than that."""


class Profiles(Protocol):
    """What is kept about people."""

    async def profile(self, tenant: str, identity: str) -> Profile | None:
        """Read a profile."""
        ...

    async def put_profile(self, tenant: str, profile: Profile, expected: Expected) -> None:
        """Store a profile; raise PreconditionFailed when it is not as expected.

        One that is there already, just like this, is no failure: the request was a repeat.
        """
        ...


class Retention(Protocol):
    """Forgetting old events."""

    async def prunable(
        self, keep: Keep, *, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, str]]:
        """List (tenant, id) of conversations that may hold too much, from one place on."""
        ...

    async def prune(self, tenant: str, id_: str, keep: Keep, *, now_ms: int, limit: int) -> int:
        """Forget up to ``limit`` events of a conversation, oldest first; say how many went.

        One transaction: an event goes with its message and its words. Repeated until it answers 0;
        what stays is in rules.retention.
        """
        ...


Tell = Callable[[Change | None], None]
"""Takes each change; None: some may have been missed, so look everywhere. It never blocks."""


class Changes(Protocol):
    """Who is told that a conversation has grown."""

    async def follow_changes(self, tell: Tell) -> None:
        """Call ``tell`` after each commit that stored events, whichever replica made it.

        Runs until it is cancelled; raises Unavailable when the database went away: call it again,
        it then begins with None. A change only means "look": it may be lost (the reader also
        looks now and then), come twice, or come late; never before its commit. Events of
        ``Batch.passing`` kinds travel in it and may be dropped where they do not fit.
        """
        ...


class Storage(
    Tokens, Conversations, Writers, Calls, Copies, Search, Profiles, Retention, Changes, Protocol
):
    """All of it, with its life."""

    async def open(self) -> None:
        """Open and migrate; raise StartRefused with one clear line."""
        ...

    async def close(self) -> None:
        """Finish what was begun, then close."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable unless a write would be possible now."""
        ...
