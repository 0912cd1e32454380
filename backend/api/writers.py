"""Routes of writers: register, heartbeat, end."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayWrite
from backend.api.contract import described
from backend.api.parameters import ConversationId, WriterId, settings, storage
from backend.api.shapes import (
    EndIn,
    EndOut,
    LeaseIn,
    StandingOut,
    WriterIn,
    WriterOut,
    owner_out,
    previous_out,
)
from backend.clock import now_ms
from backend.errors import Malformed
from backend.rules.events import instant_ms
from backend.storage.records import Heartbeat, NewWriter, WriterEnd

router = APIRouter(prefix="/v1/conversations/{conversation_id}/writers", tags=["writers"])


@router.post("", **described(body=WriterIn, answers={200: WriterOut, 201: WriterOut}))
async def register(request: Request, token: MayWrite, conversation_id: ConversationId) -> Response:
    """Register a writer; its fence is final with this answer. Repeated: the same answer."""
    wanted = await body.read(request, WriterIn)
    if wanted.writer_id == "backend":
        raise Malformed("reserved_writer", "writer_id: 'backend' is this backend's own")
    writer = NewWriter(
        writer_id=wanted.writer_id,
        kind=wanted.kind,
        room=wanted.room,
        job_id=wanted.job_id,
        started_ms=_instant("started_at", wanted.started_at),
        claimed_fence=wanted.fence,
    )
    lease_s = settings(request).lease_s
    made = await storage(request).register(
        token.tenant, conversation_id, writer, lease_s=lease_s, now_ms=now_ms()
    )
    shown = WriterOut(
        writer_id=wanted.writer_id,
        fence=made.fence,
        session_number=made.session_number,
        version=str(made.version),
        lease_s=lease_s,
        owner=owner_out(made.owner),
        previous=previous_out(made.previous),
        fence_session=made.fence_session,
    )
    return body.answer(shown, 201 if made.created else 200)


@router.put("/{writer_id}/lease", **described(body=LeaseIn, answers={200: StandingOut}))
async def renew(
    request: Request, token: MayWrite, conversation_id: ConversationId, writer_id: WriterId
) -> Response:
    """Extend a writer's lease; 409 when another writer's is alive."""
    beat = await body.read(request, LeaseIn)
    lease_s = settings(request).lease_s
    standing = await storage(request).renew(
        token.tenant,
        conversation_id,
        writer_id,
        Heartbeat(
            last_ordinal=beat.last_ordinal, session_number=beat.session_number, lease_s=lease_s
        ),
        now_ms=now_ms(),
    )
    return body.answer(
        StandingOut(
            session_number=standing.session_number,
            highest_fence=standing.highest_fence,
            lease_s=lease_s,
        )
    )


@router.post("/{writer_id}/end", **described(body=EndIn, answers={200: EndOut}))
async def end(
    request: Request, token: MayWrite, conversation_id: ConversationId, writer_id: WriterId
) -> Response:
    """End a writer: its open turns are closed as abandoned. The first end wins."""
    wanted = await body.read(request, EndIn)
    standing = await storage(request).end_writer(
        token.tenant,
        conversation_id,
        writer_id,
        WriterEnd(
            reason=wanted.reason,
            at_ms=_instant("at", wanted.at),
            last_ordinal=wanted.last_ordinal,
            usage=tuple(wanted.usage or ()),
        ),
        now_ms=now_ms(),
    )
    return body.answer(
        EndOut(session_number=standing.session_number, highest_fence=standing.highest_fence)
    )


def _instant(name: str, text: str) -> int:
    try:
        return instant_ms(text)
    except ValueError as exc:
        raise Malformed("malformed", f"{name}: {exc}") from exc
