"""Events that the backend makes itself: the end of a call or turn, a context clear."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from backend.clock import rfc3339
from backend.rules.events import canonical
from backend.rules.rows import Head, WriterRow
from backend.storage.records import WriterEnd

BACKEND: Final = "backend"
"""The writer of what the backend itself adds; no agent can register under this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEvent:
    """An event of the backend's own. ``digest``: what identifies it, where its body does not."""

    kind: str
    at_ms: int
    session_number: int
    writer_id: str
    fence: int
    ordinal: int | None
    fields: dict[str, Any]  # Any: JSON of the kind
    event_id: str | None = None
    digest: bytes | None = None

    def encoded(self, event_id: str) -> tuple[bytes, bytes]:
        """Write it as JSON under its id; return digest and body."""
        fields = {"v": 1, "event_id": event_id, "kind": self.kind, "at": rfc3339(self.at_ms)}
        fields |= self.fields
        if self.ordinal is not None:
            fields["ordinal"] = self.ordinal
        body = canonical(fields)
        return self.digest or sha256(body).digest(), body


def clear_digest(event_id: str, reason: str | None) -> bytes:
    """Hash what was asked for with a clear: the same id asked for the same thing or clashes."""
    asked = {"event_id": event_id, "kind": "context_cleared", **_reason(reason)}
    return sha256(canonical(asked)).digest()


def context_cleared(row: Head, event_id: str, reason: str | None, now_ms: int) -> OwnEvent:
    """Make the event of a clear; ``row`` holds the new session's number already."""
    return OwnEvent(
        kind="context_cleared",
        at_ms=now_ms,
        session_number=row.session_number,
        writer_id=BACKEND,
        fence=0,
        ordinal=1,
        fields=_reason(reason),
        event_id=event_id,
        digest=clear_digest(event_id, reason),
    )


def call_ended(writer: WriterRow, end: WriterEnd) -> OwnEvent:
    """Make the event of a writer's end. It has no ordinal: it sorts after its writer's."""
    fields: dict[str, Any] = {"reason": end.reason}
    if end.usage:
        fields["usage"] = msgspec.to_builtins(end.usage)
    return OwnEvent(
        kind="call_ended",
        at_ms=end.at_ms,
        session_number=max(writer.session_number, writer.window_session),
        writer_id=writer.writer_id,
        fence=writer.fence,
        ordinal=None,
        fields=fields,
    )


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}
