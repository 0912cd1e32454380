"""Routes of events and messages."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayRead, MayWrite
from backend.api.contract import described
from backend.api.metrics import Metrics
from backend.api.parameters import (
    ConversationId,
    Cursor,
    Position,
    SessionNumber,
    settings,
    storage,
)
from backend.api.shapes import EventsIn, EventsOut, MessagesOut, StoredOut
from backend.clock import now_ms
from backend.errors import Malformed
from backend.rules.events import KINDS, check_batch, instant_ms
from backend.service.access import reader
from backend.storage.records import Batch, EventFilter

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["events"])


@router.post("/events", **described(body=EventsIn, answers={200: StoredOut}))
async def store(request: Request, token: MayWrite, conversation_id: ConversationId) -> Response:
    """Store a batch, all or nothing. A repeated batch answers as the first did."""
    sent = await body.read(request, EventsIn)
    events = check_batch(conversation_id, sent.writer_id, sent.events)
    stored = await storage(request).store_events(
        token.tenant,
        Batch(
            conversation_id=conversation_id,
            writer_id=sent.writer_id,
            events=events,
            passing=settings(request).broadcast_only,
        ),
        now_ms=now_ms(),
    )
    metrics: Metrics = request.app.state.metrics
    metrics.events_accepted.inc(len(events))
    return body.answer(
        StoredOut(
            acknowledged=stored.acknowledged,
            positions=list(stored.positions),
            session_number=stored.standing.session_number,
            highest_fence=stored.standing.highest_fence,
        )
    )


@router.get("/events", **described(answers={200: EventsOut}))
async def list_events(  # noqa: PLR0913 - the query parameters of the API
    request: Request,
    token: MayRead,
    conversation_id: ConversationId,
    after: Position = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    session: SessionNumber = None,
    kind: Annotated[list[str] | None, Query(max_length=len(KINDS))] = None,
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: Annotated[str | None, Query()] = None,
) -> Response:
    """List events, ascending by position."""
    kinds = tuple(kind or ())
    if unknown := [name for name in kinds if name not in KINDS]:
        raise Malformed("unknown_kind", f"kind: {len(unknown)} not in the closed list")
    wanted = EventFilter(
        after=after,
        limit=limit + 1,
        session=session,
        kinds=kinds,
        from_ms=_instant("from", from_),
        to_ms=_instant("to", to),
    )
    found = await storage(request).events(reader(token), conversation_id, wanted)
    page = found[:limit]
    more = _Place.position_of(page[-1]) if len(found) > limit else None
    return body.answer(EventsOut(items=[msgspec.Raw(item) for item in page], next=more))


@router.get("/messages", **described(answers={200: MessagesOut}))
async def list_messages(
    request: Request,
    token: MayRead,
    conversation_id: ConversationId,
    last: Annotated[int, Query(ge=1, le=200)] = 20,
    before: Cursor = None,
) -> Response:
    """List the last messages, oldest first, in conversation order."""
    found = await storage(request).messages(
        reader(token), conversation_id, last=last + 1, before=before
    )
    page = found[-last:]
    more = _Place.id_of(page[0]) if len(found) > last else None
    return body.answer(MessagesOut(items=[msgspec.Raw(item) for item in page], next=more))


class _Place(msgspec.Struct):
    """The fields of a stored event that a cursor is made of."""

    event_id: str
    position: int

    @classmethod
    def position_of(cls, item: bytes) -> int:
        """Read an event's position."""
        return msgspec.json.decode(item, type=cls).position

    @classmethod
    def id_of(cls, item: bytes) -> str:
        """Read an event's id."""
        return msgspec.json.decode(item, type=cls).event_id


def _instant(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return instant_ms(text)
    except ValueError as exc:
        raise Malformed("malformed", f"{name}: {exc}") from exc
