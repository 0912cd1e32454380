"""Routes of whole conversations: export and fork."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from backend.api import body
from backend.api.auth import MayRead, MayWrite
from backend.api.contract import described
from backend.api.parameters import ConversationId, storage
from backend.api.shapes import ConversationOut, ForkIn, conversation_out
from backend.clock import now_ms
from backend.service import forking
from backend.service.access import reader
from backend.storage.ports import Storage
from backend.storage.records import Reader

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["conversations"])

PAGE: Final = 200
_FIRST: Final = b'{"format": 1}\n'
_DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {  # Any: OpenAPI
    200: {
        "description": 'JSON lines: {"format": 1}, then every event in conversation order',
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


@router.get("/export", response_model=None, responses=_DESCRIBED)
async def export(request: Request, token: MayRead, conversation_id: ConversationId) -> Response:
    """Export a conversation whole, as it stands now; pages are read as the reader takes them."""
    who = reader(token)
    positions = await storage(request).order(who, conversation_id)
    lines = _lines(storage(request), who, conversation_id, positions)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def _lines(
    log: Storage, who: Reader, id_: str, positions: Sequence[int]
) -> AsyncIterator[bytes]:
    yield _FIRST
    for start in range(0, len(positions), PAGE):
        events = await log.events_at(who, id_, positions[start : start + PAGE])
        yield b"".join(event + b"\n" for event in events)


@router.post(
    "/fork", **described(body=ForkIn, answers={200: ConversationOut, 201: ConversationOut})
)
async def fork(request: Request, token: MayWrite, conversation_id: ConversationId) -> Response:
    """Copy a session into a conversation of its own; a repeated request answers 200."""
    wanted = await body.read(request, ForkIn, empty=ForkIn())
    made, is_new = await forking.fork(
        storage(request),
        token,
        conversation_id,
        conversation_id=wanted.conversation_id,
        up_to_event_id=wanted.up_to_event_id,
        now_ms=now_ms(),
    )
    return body.answer(conversation_out(made), 201 if is_new else 200)
