"""The live stream of a conversation: server-sent events, ``id`` = position."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.api.auth import MayRead, allow
from backend.api.parameters import BIG, ConversationId, settings
from backend.clock import monotonic_s
from backend.errors import Denied, Malformed, Unauthenticated
from backend.service.access import reader
from backend.service.live import Behind, Item, Live

router = APIRouter(prefix="/v1/conversations/{conversation_id}", tags=["events"])

_PING: Final = b": ping\n\n"
_POSITION: Final = re.compile(r"[0-9]{1,16}")
"""Not longer: Python refuses to read an integer of thousands of digits."""
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
]
_DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {  # Any: OpenAPI
    200: {
        "description": "Server-sent events: id = position, data = the event on one line;"
        " kinds that are not kept come without id; `event: reset` with {after} when the"
        " stream cannot go on from here: come back with that cursor; comments are pings.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
Batches = AsyncGenerator[Sequence[Item], None]


@router.get("/events/stream", response_model=None, responses=_DESCRIBED)
async def stream(
    request: Request,
    token: MayRead,
    conversation_id: ConversationId,
    after: Annotated[int | None, Query(ge=0, le=BIG)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Follow a conversation live, from a position or from now on."""
    live: Live = request.app.state.live
    ping_s = settings(request).stream_ping_s

    async def is_allowed() -> bool:
        try:
            await allow(request, "read")
        except (Unauthenticated, Denied):
            return False
        return True

    batches = live.follow(
        reader(token),
        conversation_id,
        after=_cursor(after, last_event_id),
        idle_s=ping_s,
    )
    return _EventStream(batches, is_allowed, check_s=ping_s)


def _cursor(after: int | None, last_event_id: str | None) -> int | None:
    """Take the newer one: a browser that reconnects repeats its address and adds the header."""
    if last_event_id is None or last_event_id == "":
        return after
    if not _POSITION.fullmatch(last_event_id) or int(last_event_id) > BIG:
        raise Malformed("malformed", "Last-Event-ID: a position is needed")
    return int(last_event_id)


class _EventStream(Response):
    """The answer; it ends when the reader leaves, is too slow, may no more, or the server stops."""

    def __init__(
        self, batches: Batches, is_allowed: Callable[[], Awaitable[bool]], *, check_s: float
    ) -> None:
        super().__init__()
        self._batches = batches
        self._is_allowed = is_allowed
        self._check_s = check_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end."""
        async with aclosing(self._batches) as batches:
            try:
                await anext(batches)  # an unknown conversation is a 404, not a stream
            except Behind as exc:
                await _start(send)
                await _finish(send, _reset(exc.after))
                return
            await _start(send)
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await self._send(batches, send)
                group.cancel_scope.cancel()

    async def _send(self, batches: Batches, send: Send) -> None:
        last = b""
        check_at = monotonic_s() + self._check_s
        try:
            async for batch in batches:
                if monotonic_s() >= check_at:
                    if not await self._is_allowed():
                        break
                    check_at = monotonic_s() + self._check_s
                shown = b"".join(map(_shown, batch)) or _PING
                await send({"type": "http.response.body", "body": shown, "more_body": True})
        except Behind as exc:
            last = _reset(exc.after)
        await _finish(send, last)


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})


async def _finish(send: Send, last: bytes) -> None:
    await send({"type": "http.response.body", "body": last, "more_body": False})


def _shown(item: Item) -> bytes:
    if item.position:
        return b"id: %d\ndata: %b\n\n" % (item.position, item.event)
    return b"data: %b\n\n" % item.event


def _reset(after: int) -> bytes:
    """Say where to go on. The id makes a browser's own reconnect right, too."""
    return b'id: %d\nevent: reset\ndata: {"after": %d}\n\n' % (after, after)
