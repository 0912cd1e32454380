"""The backend's endpoints as methods. Each has a total deadline and may be repeated."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from backend_client import errors, wire
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId, EventId, Identity, WriterId
from voice_agent.domain.usage import Usage
from voice_agent.state.codec import event_of
from voice_agent.state.entries import Entry
from voice_agent.state.ports import (
    BackendConversation,
    LeaseState,
    PreviousWriter,
    Registration,
    Stored,
    WriterGrant,
)

Answer = TypeVar("Answer")
CLEAR_WAIT_S = 2.0
"""A clear waits so long for the running agent (backend/openapi.json)."""


class BackendClient:
    """One backend, one token.

    Four duties: it keeps what happens (``store_events``), reports errors (``error`` events among
    them), gives back what a call needs (recent messages, search, profiles), and coordinates lives
    (register, lease, clear, end).

    Every method raises ``LayerUnavailable`` when the backend failed or did not answer in time
    (outcome unknown: repeat it), and ``RequestRefused`` when it understood and will not. All are
    safe to repeat; cancelling one leaves the write done or not done, never half.
    """

    def __init__(self, http: httpx.AsyncClient, *, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s

    async def resolve_conversation(
        self, key: str, *, max_gap_s: float | None = None
    ) -> BackendConversation:
        """Get or make the conversation of ``key``; a gap over ``max_gap_s`` makes a new one."""
        body: dict[str, Any] = {"key": key}
        if max_gap_s is not None:
            body["max_gap_s"] = max_gap_s
        answer = await self._call(
            "resolve", "POST", "/v1/conversations:resolve", wire.ConversationAnswer, json=body
        )
        return _conversation(answer)

    async def get_conversation(self, conversation_id: ConversationId) -> BackendConversation:
        """Read a conversation; one that does not exist is refused with status 404."""
        answer = await self._call(
            "get_conversation", "GET", _at(conversation_id), wire.ConversationAnswer
        )
        return _conversation(answer)

    async def register_writer(
        self, conversation_id: ConversationId, registration: Registration
    ) -> WriterGrant:
        """Register a writer; its fence is final from then on. A repeat answers the same."""
        answer = await self._call(
            "register_writer",
            "POST",
            _at(conversation_id, "writers"),
            wire.WriterAnswer,
            json=msgspec.to_builtins(registration),
        )
        return WriterGrant(
            fence=answer.fence,
            session_number=answer.session_number,
            version=int(answer.version),
            lease_s=answer.lease_s,
            previous=None if answer.previous is None else tuple(map(_previous, answer.previous)),
            fence_session=answer.fence_session,
        )

    async def renew_lease(
        self,
        conversation_id: ConversationId,
        writer_id: WriterId,
        *,
        last_ordinal: int,
        session_number: int,
    ) -> LeaseState:
        """Say that the writer lives.

        Raises ``OwnershipLost`` when a higher fence holds the lease, ``LeaseHeld`` when an older
        agent that still lives does. A higher session number in the answer than before means that
        the context was cleared.
        """
        answer = await self._call(
            "renew_lease",
            "PUT",
            _at(conversation_id, "writers", writer_id, "lease"),
            wire.LeaseAnswer,
            json={"last_ordinal": last_ordinal, "session_number": session_number},
        )
        return LeaseState(
            session_number=answer.session_number,
            highest_fence=answer.highest_fence,
            lease_s=answer.lease_s,
        )

    async def end_writer(
        self,
        conversation_id: ConversationId,
        writer_id: WriterId,
        *,
        reason: str,
        at: str,
        last_ordinal: int,
        usage: tuple[Usage, ...] | None = None,
    ) -> None:
        """Record the end of a call. The first reason given wins; repeats change nothing.

        ``usage``: what was spent and is in none of the writer's events.
        """
        body: dict[str, Any] = {"reason": reason, "at": at, "last_ordinal": last_ordinal}
        if usage is not None:
            body["usage"] = msgspec.to_builtins(usage)
        await self._call(
            "end_writer",
            "POST",
            _at(conversation_id, "writers", writer_id, "end"),
            dict[str, Any],
            json=body,
        )

    async def store_events(
        self, conversation_id: ConversationId, writer_id: WriterId, events: Sequence[bytes]
    ) -> Stored:
        """Store encoded events (``state.codec``), all or none. A repeat stores nothing twice."""
        answer = await self._call(
            "store_events",
            "POST",
            _at(conversation_id, "events"),
            wire.StoredAnswer,
            content=wire.batch_body(writer_id, list(events)),
        )
        return Stored(
            acknowledged=answer.acknowledged,
            session_number=answer.session_number,
            highest_fence=answer.highest_fence,
        )

    async def get_recent_messages(
        self, conversation_id: ConversationId, limit: int = 20
    ) -> list[Event]:
        """Read the last ``limit`` (at most 200) messages, oldest first, in conversation order."""
        answer = await self._call(
            "get_recent_messages",
            "GET",
            _at(conversation_id, "messages"),
            wire.EventList,
            params={"last": limit},
        )
        return [event_of(item) for item in answer.items]

    async def get_recent_entries(
        self, conversation_id: ConversationId, limit: int = 20
    ) -> list[Entry]:
        """Read the last ``limit`` messages as their bytes, and whose they are."""
        answer = await self._call(
            "get_recent_messages",
            "GET",
            _at(conversation_id, "messages"),
            wire.RawEventList,
            params={"last": limit},
        )
        try:
            return [_entry(item) for item in answer.items]
        except msgspec.MsgspecError as exc:
            raise LayerUnavailable(
                layer=errors.LAYER, op="get_recent_messages", detail="unreadable answer"
            ) from exc

    async def search_conversation(
        self, conversation_id: ConversationId, query: str, limit: int = 10
    ) -> list[Event]:
        """Find messages that have all words of ``query``, best first."""
        answer = await self._call(
            "search_conversation",
            "GET",
            _at(conversation_id, "search"),
            wire.EventList,
            params={"q": query, "limit": limit},
        )
        return [event_of(item.get("event", item)) for item in answer.items]

    async def clear_context(
        self, conversation_id: ConversationId, *, event_id: EventId, reason: str | None = None
    ) -> int:
        """Begin a new session and return its number; the same ``event_id`` clears once.

        The backend waits up to 2 s until the running agent has dropped its window.
        """
        answer = await self._call(
            "clear_context",
            "POST",
            _at(conversation_id, "clear"),
            wire.ClearedAnswer,
            wait_s=CLEAR_WAIT_S,
            json={"event_id": event_id, **({} if reason is None else {"reason": reason})},
        )
        return answer.session_number

    async def get_profile(self, identity: Identity) -> Mapping[str, Any]:
        """Read what is kept about a person; one that is unknown is refused with status 404."""
        return await self._call(
            "get_profile", "GET", f"/v1/profiles/{quote(identity, safe='')}", dict[str, Any]
        )

    async def _call(
        self,
        op: str,
        method: str,
        path: str,
        answer: type[Answer],
        wait_s: float = 0.0,
        **request: Any,  # httpx's own keyword arguments
    ) -> Answer:
        """Send one request, at most ``timeout_s`` from beginning to end.

        ``wait_s``: how long the backend may wait for somebody else before it answers.
        """
        if wait_s:
            request["timeout"] = self._timeout_s + wait_s
        if "content" in request:
            request["headers"] = {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(self._timeout_s + wait_s):
                response = await self._http.request(method, path, **request)
        except errors.TRANSPORT_ERRORS as exc:
            raise errors.unavailable(op, exc) from exc
        if response.status_code >= 400:
            raise errors.refused(op, response)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.MsgspecError as exc:
            raise LayerUnavailable(layer=errors.LAYER, op=op, detail="unreadable answer") from exc


def _at(conversation_id: ConversationId, *rest: str) -> str:
    return "/".join(("/v1/conversations", conversation_id, *rest))


def _previous(answer: wire.PreviousAnswer) -> PreviousWriter:
    return PreviousWriter(
        writer_id=WriterId(answer.writer_id), fence=answer.fence, last_ordinal=answer.last_ordinal
    )


def _entry(item: msgspec.Raw) -> Entry:
    place = msgspec.json.decode(item, type=wire.EventPlace)
    return Entry(
        writer_id=WriterId(place.writer_id),
        fence=place.fence,
        ordinal=place.ordinal or 0,
        data=bytes(item),
    )


def _conversation(answer: wire.ConversationAnswer) -> BackendConversation:
    missing: list[Mapping[str, Any]] = list(answer.missing)
    return BackendConversation(
        conversation_id=ConversationId(answer.id),
        session_number=answer.session_number,
        version=int(answer.version),
        missing=tuple(missing),
    )
