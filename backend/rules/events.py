"""What an event must look like to be stored, and what identifies it.

Only what the backend acts on is checked: envelope, messages and turns. Everything else of an
event is kept as it was sent, unknown fields included, because a newer agent may know more.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from backend.errors import ItemError, Malformed, TooLarge
from backend.rules import usage
from backend.rules.usage import Usage

Sent = Mapping[str, Any]  # Any: a foreign JSON object, checked below
"""One event as it came in, decoded."""

MAX_EVENTS: Final = 500
MAX_EVENT_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 128
"""Objects in objects: what is barely read here could be read by nobody whose stack is fuller."""
MAX_INTEGER: Final = 2**53 - 1
MAX_ERRORS: Final = 50
ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}\Z"

ID: Final = re.compile(ID_PATTERN)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|\+00:00)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

KINDS: Final = frozenset(
    {
        "message",
        "transcription",
        "speech",
        "tool_call",
        "tool_result",
        "thinking",
        "user_action",
        "turn_started",
        "turn_ended",
        "agent_state",
        "interruption",
        "participant_joined",
        "participant_left",
        "handoff",
        "reconnect",
        "state_changed",
        "summary",
        "context_cleared",
        "call_ended",
        "error",
        "lost",
    }
)
MADE_HERE: Final = frozenset({"context_cleared", "call_ended"})
MAY_PASS: Final = frozenset(
    {"agent_state", "thinking", "transcription", "speech", "interruption", "user_action"}
)
"""Kinds an operator may choose to show live only: nothing is derived from them."""
ROLES: Final = frozenset({"user", "assistant", "system"})
MODALITIES: Final = frozenset({"voice", "text"})
OUTCOMES: Final = frozenset({"completed", "interrupted", "abandoned", "empty"})
COUNTED: Final = frozenset({"completed", "interrupted", "abandoned"})
"""Outcomes that advance a conversation's version; an empty turn left nothing behind."""

_CONTEXT: Final = frozenset(("conversation_id", "writer_id", "fence", "position"))
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event ready to be stored. ``body``: what was sent, without its context and number.

    A Struct because a frozen dataclass takes ten times as long to make, which was a tenth of the
    whole path of an event (benchmarks/ingest.py).
    """

    event_id: str
    ordinal: int
    kind: str
    at_ms: int
    turn_id: str | None
    session_number: int | None
    role: str | None
    outcome: str | None
    digest: bytes
    body: bytes
    usage: tuple[Usage, ...] = ()


class _Refused(Exception):
    """One event cannot be stored: (code, detail)."""


def instant_ms(text: object) -> int:
    """Read an RFC 3339 instant in UTC as unix ms; raise ValueError for anything else."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise ValueError("an RFC 3339 instant in UTC is needed, like 2026-11-21T04:00:00.123Z")
    return (datetime.fromisoformat(text) - _EPOCH) // _MS


def is_id(value: object) -> bool:
    """Say whether ``value`` can be an id: 1 to 64 of letters, digits, ``_`` and ``-``."""
    return isinstance(value, str) and ID.match(value) is not None


def check_batch(conversation_id: str, writer_id: str, sent: Sequence[object]) -> list[Event]:
    """Check every event of a batch.

    Raises:
        TooLarge: more events, or a larger one, than one request may carry.
        Malformed: with one entry per event that cannot be stored.
    """
    if len(sent) > MAX_EVENTS:
        raise TooLarge("too_many_events", f"at most {MAX_EVENTS} events in one request")
    events: list[Event] = []
    errors: list[ItemError] = []
    for index, item in enumerate(sent):
        try:
            events.append(_check(conversation_id, writer_id, item))
        except _Refused as exc:
            code, detail = exc.args
            errors.append(ItemError(index=index, code=code, detail=detail))
    if any(error.code == "event_too_large" for error in errors):
        raise TooLarge("event_too_large", _EVENT_LIMIT, tuple(errors[:MAX_ERRORS]))
    if errors:
        detail = f"{len(errors)} of {len(sent)} events cannot be stored"
        raise Malformed("malformed_events", detail, tuple(errors[:MAX_ERRORS]))
    return events


_EVENT_LIMIT: Final = f"an event has at most {MAX_EVENT_BYTES} bytes"


def _check(conversation_id: str, writer_id: str, item: object) -> Event:
    if not isinstance(item, dict):
        raise _Refused("malformed", "an event is a JSON object")
    fields: dict[str, Any] = item
    own = fields
    if not _CONTEXT.isdisjoint(fields):
        for name, expected in (("conversation_id", conversation_id), ("writer_id", writer_id)):
            if name in fields and fields[name] != expected:
                raise _Refused("contradiction", f"{name} is not the one the request is for")
        own = {name: value for name, value in fields.items() if name not in _CONTEXT}
    encoded = _encoded(own)
    if len(encoded) > MAX_EVENT_BYTES:
        raise _Refused("event_too_large", _EVENT_LIMIT)
    return _event(own, encoded)


def _encoded(own: Sent) -> bytes:
    try:
        encoded = canonical(own)
    except RecursionError as exc:
        raise _Refused("malformed", TOO_DEEP) from exc
    # counting brackets costs next to nothing: few events have so many of them
    if encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH and is_too_deep(own):
        raise _Refused("malformed", TOO_DEEP)
    return encoded


TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH}"


def is_too_deep(value: object) -> bool:
    """Say whether JSON is nested deeper than ``MAX_DEPTH``, without being deep itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for outer in level:
            if isinstance(outer, dict):
                inner += outer.values()
            elif isinstance(outer, list):
                inner += outer
        level = [each for each in inner if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def canonical(value: Mapping[str, Any]) -> bytes:
    """Encode as canonical JSON: sorted keys, no spaces, UTF-8 not escaped."""
    return _ENCODER.encode(value)


def _event(own: dict[str, Any], encoded: bytes) -> Event:
    kind, number, turn_id = _envelope(own)
    role, outcome = _acted_on(kind, own)
    try:
        at_ms = instant_ms(own.get("at"))
    except ValueError as exc:
        raise _Refused("malformed", f"at: {exc}") from exc
    unnumbered = encoded
    if "session_number" in own:
        unnumbered = canonical({k: v for k, v in own.items() if k != "session_number"})
    return Event(
        event_id=own["event_id"],
        ordinal=_integer(own.get("ordinal"), "ordinal", least=1),
        kind=kind,
        at_ms=at_ms,
        turn_id=turn_id,
        session_number=number,
        role=role,
        outcome=outcome,
        digest=sha256(encoded).digest(),
        body=unnumbered,
        usage=_usage(own["usage"]) if kind == "turn_ended" and "usage" in own else (),
    )


def _usage(value: object) -> tuple[Usage, ...]:
    try:
        return usage.read(value)
    except ValueError as exc:
        raise _Refused("malformed", f"usage: {exc}") from exc


def _envelope(own: Sent) -> tuple[str, int | None, str | None]:
    """Check what every kind has; return (kind, session number, turn id)."""
    if not is_id(own.get("event_id")):
        raise _Refused("malformed", "event_id: 1 to 64 of A-Z a-z 0-9 _ -")
    version = own.get("v", 1)
    if isinstance(version, bool) or version != 1:
        raise _Refused("unknown_version", "v: this backend stores version 1")
    kind = own.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _Refused("unknown_kind", "kind: not in the closed list")
    if kind in MADE_HERE:
        raise _Refused("reserved_kind", f"{kind} is made by the backend alone")
    number = own.get("session_number")
    turn_id = own.get("turn_id")
    if turn_id is not None and not is_id(turn_id):
        raise _Refused("malformed", "turn_id: 1 to 64 of A-Z a-z 0-9 _ -")
    return kind, None if number is None else _integer(number, "session_number", least=0), turn_id


def _integer(value: object, name: str, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_INTEGER:
        raise _Refused("malformed", f"{name}: an integer from {least} to 2^53 - 1")
    return value


def _acted_on(kind: str, own: Sent) -> tuple[str | None, str | None]:
    """Check the fields the backend acts on; return (role, outcome)."""
    match kind:
        case "message":
            return _message_role(own), None
        case "turn_started" | "turn_ended" if own.get("turn_id") is None:
            raise _Refused("malformed", f"{kind} needs its turn_id")
        case "turn_ended":
            outcome = own.get("outcome")
            if not isinstance(outcome, str) or outcome not in OUTCOMES:
                raise _Refused("malformed", f"outcome: one of {', '.join(sorted(OUTCOMES))}")
            return None, outcome
        case _:
            return None, None


def _message_role(own: Sent) -> str:
    role = own.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise _Refused("malformed", f"role: one of {', '.join(sorted(ROLES))}")
    if not isinstance(own.get("text"), str):
        raise _Refused("malformed", "text: a string")
    speaker = own.get("speaker")
    if speaker is not None and not (
        isinstance(speaker, dict) and isinstance(speaker.get("identity"), str)
    ):
        raise _Refused("malformed", "speaker: null or an object with an identity")
    if not isinstance(own.get("interrupted", False), bool):
        raise _Refused("malformed", "interrupted: true or false")
    modality = own.get("modality", "voice")
    if not isinstance(modality, str) or modality not in MODALITIES:
        raise _Refused("malformed", "modality: voice or text")
    return role
