"""The JSON that goes in and out. ``contract`` makes openapi.json of these very types."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from backend.clock import rfc3339
from backend.rules.usage import Reports, Usage
from backend.storage.records import (
    CallUsage,
    Conversation,
    ConversationUsage,
    Owner,
    PreviousWriter,
)

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", examples=["01a1fc5d-8bad-7388"])]
Ordinal = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Fence = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Claim = Annotated[int, Meta(ge=1, le=2**52)]
"""Half of all fences lie above: whatever one writer claims, those after it still get theirs."""
Text = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00]*\Z")]
"""PostgreSQL holds no U+0000 in a text."""
Instant = Annotated[
    str,
    Meta(description="RFC 3339, UTC, milliseconds", extra_json_schema={"format": "date-time"}),
]


class ResolveIn(Struct, kw_only=True):
    """Which conversation: the one of ``key``."""

    key: Text
    max_gap_s: Annotated[float, Meta(ge=0)] | None = None


class ClearIn(Struct, kw_only=True):
    """A clear; the same event_id clears once."""

    event_id: Id
    reason: Annotated[str, Meta(max_length=1000)] | None = None


class WriterIn(Struct, kw_only=True):
    """A writer that registers. ``fence``: what it claimed while the backend was away."""

    writer_id: Id
    kind: Literal["call", "text"]
    started_at: Instant
    room: Text | None = None
    job_id: Text | None = None
    fence: Claim | None = None


class LeaseIn(Struct, kw_only=True):
    """A heartbeat. ``session_number``: the session that the writer's window is in."""

    last_ordinal: Ordinal
    session_number: Ordinal | None = None


class EndIn(Struct, kw_only=True):
    """The end of a writer. ``usage``: what was spent and is in none of its events."""

    reason: Text
    at: Instant
    last_ordinal: Ordinal | None = None
    usage: Reports | None = None


class EventsIn(Struct, kw_only=True):
    """A batch of one writer's events."""

    writer_id: Id
    events: list[Any]  # Any: each is checked by rules.events, so that errors name the event


class CallIn(Struct, kw_only=True):
    """A call; all fields may be absent."""

    conversation_id: Id | None = None
    identity: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    name: Annotated[str, Meta(max_length=128)] | None = None


class ForkIn(Struct, kw_only=True):
    """A fork; without ``up_to_event_id`` the whole newest session."""

    conversation_id: Id | None = None
    up_to_event_id: Id | None = None


class ProfileIn(Struct, kw_only=True):
    """What is kept about a person: facts of others, and what the person likes."""

    context: dict[str, Any] = {}  # Any: the application's own facts
    preferences: dict[str, Any] = {}  # Any: see context


class ProfileOut(Struct, kw_only=True):
    """What is kept about a person."""

    identity: str
    context: dict[str, Any]  # Any: see ProfileIn
    preferences: dict[str, Any]  # Any: see ProfileIn
    updated_at: Instant


class OwnerOut(Struct, kw_only=True):
    """The writer whose lease is alive."""

    writer_id: Id
    fence: Fence
    lease_until: Instant


class GapOut(Struct, kw_only=True, rename={"first": "from", "last": "to"}):
    """Ordinals of a writer that have not arrived."""

    writer_id: Id
    first: Ordinal
    last: Ordinal


class ConversationOut(Struct, kw_only=True):
    """A conversation, as it stands. ``missing`` shows at most 100 gaps."""

    id: Id
    key: str
    session_number: Ordinal
    version: Annotated[str, Meta(pattern="^[0-9]+$", description="uint64 as decimal")]
    last_position: Ordinal
    created_at: Instant
    updated_at: Instant
    owner: OwnerOut | None
    missing: list[GapOut]


class ConversationsOut(Struct, kw_only=True):
    """A page of conversations, newest first."""

    items: list[ConversationOut]
    next: Id | None


class PreviousOut(Struct, kw_only=True):
    """How far an earlier writer came, as far as is known."""

    writer_id: Id
    fence: Fence
    last_ordinal: Ordinal


class WriterOut(Struct, kw_only=True):
    """A registered writer; its fence is final. ``owner``: whose lease is alive, perhaps its own.

    ``previous``: the newest writer below it that wrote anything, if there is one; null: not known.
    ``fence_session``: the session that was open at the fence; lower than ``session_number`` if the
    context was cleared since.
    """

    writer_id: Id
    fence: Fence
    session_number: Ordinal
    version: str
    lease_s: float
    owner: OwnerOut | None
    previous: list[PreviousOut] | None = None
    fence_session: Ordinal | None = None


class StandingOut(Struct, kw_only=True):
    """What a writer needs to hear with every answer."""

    session_number: Ordinal
    highest_fence: Ordinal
    lease_s: float


class EndOut(Struct, kw_only=True):
    """The end is stored, by this request or an earlier one."""

    session_number: Ordinal
    highest_fence: Ordinal


class StoredOut(Struct, kw_only=True):
    """``acknowledged``: the writer's highest ordinal without a gap below it."""

    acknowledged: Ordinal
    positions: list[Ordinal]
    session_number: Ordinal
    highest_fence: Ordinal


class ClearedOut(Struct, kw_only=True):
    """``acknowledged``: no live writer still works in an older session."""

    session_number: Ordinal
    event_id: Id
    position: Ordinal
    acknowledged: bool


class EventsOut(Struct, kw_only=True):
    """Events, ascending by position; ``next``: the last position, null at the end."""

    items: list[Raw]
    next: Ordinal | None


class MessagesOut(Struct, kw_only=True):
    """Messages, oldest first; ``next``: the ``before`` of older ones, null at the beginning."""

    items: list[Raw]
    next: Id | None


class HitOut(Struct, kw_only=True):
    """A message that was found. ``score``: higher is better, comparable within one answer."""

    event: Raw
    score: float


class HitsOut(Struct, kw_only=True):
    """What was found, best first. There are no further pages: ask for more with ``limit``."""

    items: list[HitOut]
    next: None = None


class CallUsageOut(Struct, kw_only=True):
    """What the models of one call used up."""

    writer_id: Id
    room: str | None
    started_at: Instant
    items: list[Usage]


class UsageOut(Struct, kw_only=True):
    """What the models of a conversation used up. ``items``: of all its calls.

    ``calls``: those that used anything, newest first; ``next``: the ``after`` of older ones.
    """

    items: list[Usage]
    calls: list[CallUsageOut]
    next: Id | None


class CallOut(Struct, kw_only=True):
    """What a caller needs to join its room."""

    url: str
    token: str
    room: str
    conversation_id: Id
    identity: str


class CallStateOut(Struct, kw_only=True):
    """How far the search for an agent is; ``detail`` is for people."""

    conversation_id: Id
    agent: Literal["dispatching", "joined", "absent"]
    attempts: Ordinal
    detail: str


class HealthOut(Struct, kw_only=True):
    """The process answers."""

    status: Literal["ok"]


class ProblemItem(Struct, kw_only=True):
    """What is wrong with one item of a batch."""

    index: int
    code: str
    detail: str


class ProblemOut(Struct, kw_only=True):
    """An error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemItem]


def previous_out(writers: Sequence[PreviousWriter] | None) -> list[PreviousOut] | None:
    """Show the writers before one."""
    if writers is None:
        return None
    return [
        PreviousOut(writer_id=each.writer_id, fence=each.fence, last_ordinal=each.last_ordinal)
        for each in writers
    ]


def owner_out(owner: Owner | None) -> OwnerOut | None:
    """Show an owner."""
    if owner is None:
        return None
    return OwnerOut(
        writer_id=owner.writer_id, fence=owner.fence, lease_until=rfc3339(owner.lease_until_ms)
    )


def conversation_out(conversation: Conversation) -> ConversationOut:
    """Show a conversation."""
    return ConversationOut(
        id=conversation.id,
        key=conversation.key,
        session_number=conversation.session_number,
        version=str(conversation.version),
        last_position=conversation.last_position,
        created_at=rfc3339(conversation.created_ms),
        updated_at=rfc3339(conversation.updated_ms),
        owner=owner_out(conversation.owner),
        missing=[
            GapOut(writer_id=gap.writer_id, first=gap.first, last=gap.last)
            for gap in conversation.missing
        ],
    )


def usage_out(usage: ConversationUsage, limit: int) -> UsageOut:
    """Show what was used up, and ``limit`` calls of it; one more says that there are more."""
    calls = [_call_usage_out(call) for call in usage.calls[:limit]]
    more = calls[-1].writer_id if len(usage.calls) > limit else None
    return UsageOut(items=usage.items, calls=calls, next=more)


def _call_usage_out(call: CallUsage) -> CallUsageOut:
    return CallUsageOut(
        writer_id=call.writer_id,
        room=call.room,
        started_at=rfc3339(call.started_ms),
        items=call.items,
    )
