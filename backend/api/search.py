"""The route of search."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayRead
from backend.api.contract import described
from backend.api.parameters import ConversationId, storage
from backend.api.shapes import HitOut, HitsOut
from backend.rules.words import asked
from backend.service.access import reader

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["events"])


@router.get("/search", **described(answers={200: HitsOut}))
async def search(
    request: Request,
    token: MayRead,
    conversation_id: ConversationId,
    q: Annotated[str, Query(max_length=1000)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """Find messages that have all words of ``q``, best first; the last may be only begun.

    Of many that match, the newest 50 are compared.

    There is no query syntax, so no query is wrong. What was answered as stored is found.
    """
    who, words = reader(token), asked(q)
    if not words:
        await storage(request).last_position(who, conversation_id)
        return body.answer(HitsOut(items=[], next=None))
    hits = await storage(request).search(who, conversation_id, words, limit=limit)
    items = [HitOut(event=msgspec.Raw(hit.event), score=hit.score) for hit in hits]
    return body.answer(HitsOut(items=items, next=None))
