"""What POST /v1/calls does: a room, a token for it, and somebody who sees to the agent."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from backend.calls.dispatcher import Dispatcher
from backend.calls.rooms import Rooms
from backend.calls.tickets import ticket
from backend.clock import new_id, new_secret, now_ms
from backend.errors import Malformed, Unavailable
from backend.service.access import reader
from backend.settings import Settings
from backend.storage.ports import Storage
from backend.storage.records import Call, Token

log = logging.getLogger(__name__)

ROOM_WAIT_S: Final = 1.0
"""A caller waits this long for its room to be prepared; afterwards it is prepared behind it."""
_RESERVED: Final = "agent-"  # what LiveKit names agents: joining under it would throw one out


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a caller needs to join."""

    url: str
    token: str
    room: str
    conversation_id: str
    identity: str


class Opening:
    """Opens calls."""

    def __init__(
        self, settings: Settings, storage: Storage, rooms: Rooms, dispatcher: Dispatcher
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._rooms = rooms
        self._dispatcher = dispatcher

    async def open(
        self, by: Token, conversation_id: str | None, identity: str | None, name: str | None
    ) -> Opened:
        """Open a call: into the conversation's running room if somebody is in it, else a new one.

        Raises NotFound for an unknown conversation, Unavailable when no LiveKit is configured. A
        LiveKit that is away is no error here: the caller gets its token, and the search for an
        agent says what is wrong.
        """
        if not self._settings.has_livekit:
            raise no_livekit()
        who = identity or f"caller-{new_secret()[:12]}"
        if who.startswith(_RESERVED):
            raise Malformed("reserved_identity", f"identity: {_RESERVED}... is for agents")
        call = None
        if conversation_id is not None:
            await self._storage.conversation(reader(by), conversation_id, now_ms=now_ms())
            call = await self._running(by, conversation_id)
        if call is None:
            call = await self._new(by, conversation_id)
        self._dispatcher.wake()
        return Opened(
            url=self._settings.dialled_url,
            token=ticket(self._settings, room=call.room, identity=who, name=name or ""),
            room=call.room,
            conversation_id=call.conversation_id,
            identity=who,
        )

    async def _running(self, by: Token, conversation_id: str) -> Call | None:
        """Find the conversation's room that somebody is in, and see to its agent again."""
        for call in await self._storage.calls_of(reader(by), conversation_id):
            try:
                view = await self._rooms.view(call.room)
            except Unavailable:
                continue
            if view.exists and view.people_count + len(view.agents) > 0:
                return await self._storage.wake_call(by.tenant, call.room, now_ms=now_ms())
        return None

    async def _new(self, by: Token, conversation_id: str | None) -> Call:
        now = now_ms()
        call = Call(
            tenant=by.tenant,
            room=f"call-{new_secret()[:22]}",
            conversation_id=conversation_id or new_id(),
            mode="continue" if conversation_id else "new",
            detail="asking for an agent",
            created_ms=now,
            due_ms=now,
        )
        await self._storage.open_call(by, call, new_conversation=conversation_id is None)
        try:
            async with asyncio.timeout(ROOM_WAIT_S):
                await self._rooms.create(call.room, call.conversation_id)
        except (Unavailable, TimeoutError) as exc:
            log.warning(
                "room not prepared yet",
                extra={
                    "conversation_id": call.conversation_id,
                    "op": "create_room",
                    "error_type": type(exc).__name__,
                },
            )
        return call


def no_livekit() -> Unavailable:
    """Make the error for a backend that has no LiveKit."""
    detail = "no LiveKit is configured: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    return Unavailable("no_livekit", detail, retry_after_s=60)
