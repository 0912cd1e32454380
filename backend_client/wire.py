"""Bodies and answers of the HTTP API (docs/events.md). Unknown fields are ignored."""

from typing import Any

import msgspec


class ConversationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, as resolve and get answer it."""

    id: str
    key: str | None = None
    session_number: int = 0
    version: str = "0"
    last_position: int = 0
    missing: list[dict[str, Any]] = msgspec.field(default_factory=list)


class PreviousAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far an earlier writer came."""

    writer_id: str
    fence: int
    last_ordinal: int = 0


class WriterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A registration."""

    writer_id: str
    fence: int
    session_number: int = 0
    version: str = "0"
    lease_s: float = 3.0
    previous: list[PreviousAnswer] | None = None
    fence_session: int | None = None


class ClearedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A clear."""

    session_number: int


class LeaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A heartbeat's answer."""

    session_number: int = 0
    highest_fence: int = 0
    lease_s: float = 3.0


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's answer: ``acknowledged`` is the highest ordinal without a gap below it."""

    acknowledged: int
    positions: list[int] = msgspec.field(default_factory=list)
    session_number: int = 0
    highest_fence: int = 0


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """Events as stored, oldest first."""

    items: list[dict[str, Any]]


class RawEventList(msgspec.Struct, frozen=True, kw_only=True):
    """Events as stored, each in its own bytes."""

    items: list[msgspec.Raw]


class EventPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Whose event it is. One that the backend made has no ordinal."""

    writer_id: str
    fence: int = 0
    ordinal: int | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """application/problem+json."""

    title: str = ""
    detail: str = ""
    code: str = ""
    errors: list[dict[str, Any]] = msgspec.field(default_factory=list)


def decode_problem(body: bytes) -> Problem:
    """Read a problem; a body that is none (a proxy's page) gives an empty one."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        return Problem()


def batch_body(writer_id: str, events: list[bytes]) -> bytes:
    """Join the exact bytes of encoded events into one request, without decoding them."""
    head = b'{"writer_id":' + msgspec.json.encode(writer_id) + b',"events":['
    return head + b",".join(events) + b"]}"
