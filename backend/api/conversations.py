"""Routes of conversations: resolve, list, get, clear."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayRead, MayWrite
from backend.api.contract import described
from backend.api.parameters import ConversationId, Cursor, settings, storage
from backend.api.shapes import (
    ClearedOut,
    ClearIn,
    ConversationOut,
    ConversationsOut,
    ResolveIn,
    conversation_out,
)
from backend.clock import now_ms
from backend.service import clearing
from backend.service.access import reader

router = APIRouter(prefix="/v1", tags=["conversations"])


@router.post(
    "/conversations:resolve",
    **described(body=ResolveIn, answers={200: ConversationOut, 201: ConversationOut}),
)
async def resolve(request: Request, token: MayWrite) -> Response:
    """Get or create the conversation of a key; safe under a race."""
    wanted = await body.read(request, ResolveIn)
    conversation, created = await storage(request).resolve(
        token, wanted.key, max_gap_s=wanted.max_gap_s, now_ms=now_ms()
    )
    return body.answer(conversation_out(conversation), 201 if created else 200)


@router.get("/conversations", **described(answers={200: ConversationsOut}))
async def list_conversations(
    request: Request,
    token: MayRead,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Cursor = None,
) -> Response:
    """List conversations, newest first."""
    found = await storage(request).conversations(
        reader(token), limit=limit + 1, after=after, now_ms=now_ms()
    )
    page = [conversation_out(conversation) for conversation in found[:limit]]
    more = page[-1].id if len(found) > limit else None
    return body.answer(ConversationsOut(items=page, next=more))


@router.get("/conversations/{conversation_id}", **described(answers={200: ConversationOut}))
async def get_conversation(
    request: Request, token: MayRead, conversation_id: ConversationId
) -> Response:
    """Read one conversation."""
    found = await storage(request).conversation(reader(token), conversation_id, now_ms=now_ms())
    return body.answer(conversation_out(found))


@router.post(
    "/conversations/{conversation_id}/clear",
    **described(body=ClearIn, answers={200: ClearedOut}),
)
async def clear(request: Request, token: MayWrite, conversation_id: ConversationId) -> Response:
    """Begin a new session; wait a moment until the running agent has dropped its window."""
    wanted = await body.read(request, ClearIn)
    cleared, acknowledged = await clearing.clear(
        storage(request),
        token.tenant,
        conversation_id,
        event_id=wanted.event_id,
        reason=wanted.reason,
        wait_s=settings(request).clear_wait_s,
    )
    return body.answer(
        ClearedOut(
            session_number=cleared.session_number,
            event_id=cleared.event_id,
            position=cleared.position,
            acknowledged=acknowledged,
        )
    )
