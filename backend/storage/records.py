"""What goes into storage and comes out of it: plain data, no behaviour."""

from dataclasses import dataclass, field
from typing import Final, Literal

from backend.rules.events import Event
from backend.rules.ordinals import Run
from backend.rules.usage import Usage

Scope = Literal["read", "call", "agent", "admin"]
WriterKind = Literal["call", "text"]
CallState = Literal["dispatching", "joined", "absent", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Who asks. Only the hash of the secret is ever stored."""

    token_id: str
    tenant: str
    scope: Scope
    expires_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose conversations may be seen: a tenant's, or those one token opened."""

    tenant: str
    opened_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The writer whose lease is alive."""

    writer_id: str
    fence: int
    lease_until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Ordinals of a writer that have not arrived, both ends included."""

    writer_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation, as it stands."""

    id: str
    key: str
    session_number: int
    version: int
    last_position: int
    created_ms: int
    updated_ms: int
    owner: Owner | None = None
    missing: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWriter:
    """A writer that registers."""

    writer_id: str
    kind: WriterKind
    room: str | None
    job_id: str | None
    started_ms: int
    claimed_fence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousWriter:
    """How far a writer is known to have come. ``last_ordinal``: stored, or said by itself."""

    writer_id: str
    fence: int
    last_ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registered writer. ``created`` is False when it was known already.

    ``previous``: the newest writer with a lower fence that wrote anything, empty if there is none;
    None: this storage does not say. An agent then trusts no copy but the log itself.
    """

    fence: int
    session_number: int
    version: int
    owner: Owner | None
    created: bool
    previous: tuple[PreviousWriter, ...] | None = None
    fence_session: int | None = None
    """The session that was open at the fence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a writer needs to hear with every answer."""

    session_number: int
    highest_fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A writer says that it lives. ``session_number``: the session its window is in."""

    last_ordinal: int
    session_number: int | None
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterEnd:
    """How a writer's life ended. ``usage``: what was spent and is in none of its events."""

    reason: str
    at_ms: int
    last_ordinal: int | None
    usage: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentWriter:
    """A writer that has not ended and has no lease. Equal at two looks: it gave no sign between.

    ``last_sign_ms``: when its lease ran out, or when it registered and never renewed one.
    """

    tenant: str
    conversation_id: str
    writer_id: str
    last_sign_ms: int
    acknowledged: int
    ahead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The answer to a batch: what is acknowledged, and each event's position (0: not kept)."""

    acknowledged: int
    positions: tuple[int, ...]
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A context clear: the new session and the event that says so."""

    session_number: int
    event_id: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list, ascending by position."""

    after: int = 0
    limit: int = 100
    session: int | None = None
    kinds: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One room of one conversation, and how far the search for an agent is."""

    tenant: str
    room: str
    conversation_id: str
    mode: str
    state: CallState = "dispatching"
    attempts: int = 0
    detail: str = ""
    created_ms: int
    due_ms: int
    dispatch_id: str | None = None
    dispatched_ms: int = 0
    people_seen_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLife:
    """What the log knows of the agent in a room. ``beats``: it has sent a heartbeat."""

    writer_id: str
    lease_until_ms: int
    registered_ms: int
    beats: bool
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Checked events of one writer. ``passing``: kinds that are shown live and not kept."""

    conversation_id: str
    writer_id: str
    events: list[Event] = field(default_factory=list)
    passing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A message that was found. ``score``: higher is better, comparable within one answer."""

    event: bytes
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is kept about a person. ``etag`` follows from ``body``, a JSON object."""

    identity: str
    body: bytes
    etag: str
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a profile must be for a change to happen; ``etags`` None: whatever it is."""

    etags: frozenset[str] | None = None
    exists: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUsage:
    """What the models of one call used up."""

    writer_id: str
    room: str | None
    started_ms: int
    items: list[Usage]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationUsage:
    """What the models of all calls used up; ``calls``: a page of them, newest first."""

    items: list[Usage]
    calls: list[CallUsage]


FORK_WRITER: Final = "fork"
FORK_FENCE: Final = 1
"""The writer of all that was copied: below every real one, so what is said later comes later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A copy of a conversation. ``events`` are new ones, of the writer ``fork``."""

    conversation_id: str
    source_id: str
    up_to_event_id: str | None
    events: list[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A conversation's log has grown: look. ``passing``: events that are nowhere but here."""

    tenant: str
    conversation_id: str
    passing: tuple[bytes, ...] = ()


__all__ = ["Run"]
