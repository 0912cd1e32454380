"""Routes of calls."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayCall
from backend.api.contract import described
from backend.api.parameters import Room, settings, storage
from backend.api.shapes import CallIn, CallOut, CallStateOut
from backend.calls.dispatcher import Dispatcher
from backend.calls.opening import Opening, no_livekit
from backend.clock import now_ms
from backend.service.access import reader
from backend.storage.records import Call

router = APIRouter(prefix="/v1/calls", tags=["calls"])


@router.post("", **described(body=CallIn, answers={201: CallOut}))
async def open_call(request: Request, token: MayCall) -> Response:
    """Open a call and make sure that an agent arrives."""
    wanted = await body.read(request, CallIn, empty=CallIn())
    opening: Opening = request.app.state.opening
    opened = await opening.open(token, wanted.conversation_id, wanted.identity, wanted.name)
    return body.answer(
        CallOut(
            url=opened.url,
            token=opened.token,
            room=opened.room,
            conversation_id=opened.conversation_id,
            identity=opened.identity,
        ),
        201,
    )


@router.get("/{room}", **described(answers={200: CallStateOut}))
async def get_call(request: Request, token: MayCall, room: Room) -> Response:
    """Say how far the search for an agent is."""
    return _shown(await storage(request).call(reader(token), room))


@router.post("/{room}/agent", **described(answers={202: CallStateOut}))
async def ensure_agent(request: Request, token: MayCall, room: Room) -> Response:
    """Make sure again that an agent is there."""
    if not settings(request).has_livekit:
        raise no_livekit()
    known = await storage(request).call(reader(token), room)
    woken = await storage(request).wake_call(known.tenant, room, now_ms=now_ms())
    dispatcher: Dispatcher = request.app.state.dispatcher
    dispatcher.wake()
    return _shown(woken, 202)


def _shown(call: Call, status: int = 200) -> Response:
    return body.answer(
        CallStateOut(
            conversation_id=call.conversation_id,
            agent="absent" if call.state == "closed" else call.state,
            attempts=call.attempts,
            detail=call.detail,
        ),
        status,
    )
