"""The route of what models used up."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayRead
from backend.api.contract import described
from backend.api.parameters import ConversationId, Cursor, storage
from backend.api.shapes import UsageOut, usage_out
from backend.service.access import reader

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["conversations"])


@router.get("/usage", **described(answers={200: UsageOut}))
async def usage(
    request: Request,
    token: MayRead,
    conversation_id: ConversationId,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Cursor = None,
) -> Response:
    """Add up what providers reported: tokens, seconds of speech, requests.

    Of the whole conversation, also of what was pruned, and of each call that used anything,
    newest first. A copy (fork) has none of its source's.
    """
    found = await storage(request).usage(
        reader(token), conversation_id, limit=limit + 1, after=after
    )
    return body.answer(usage_out(found, limit))
