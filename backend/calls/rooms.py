"""LiveKit's server API in our words: rooms, who is in them, and dispatches.

Every call has a deadline and may be repeated; whatever LiveKit does wrong is one error, because
the remedy is one: say so, and try again.
"""

import json
from collections.abc import Iterable
from typing import Final

import aiohttp
from livekit import api
from livekit.protocol.agent import JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo

from backend.calls.judge import Agent, Dispatch, RoomView
from backend.errors import Unavailable
from backend.settings import Settings

_AGENT_NAME: Final = "lk.agent.name"  # set by the server on what a dispatched job joins with
_RUNNING: Final = frozenset({JobStatus.JS_PENDING, JobStatus.JS_RUNNING})


class Rooms:
    """One client of LiveKit's server API. Close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api: api.LiveKitAPI | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            await self._api.aclose()

    async def create(self, room: str, conversation_id: str) -> None:
        """Create the room, or complete it: its metadata holds the conversation's id alone."""
        metadata = json.dumps({"conversation_id": conversation_id})
        request = api.CreateRoomRequest(name=room, metadata=metadata)
        try:
            made = await self._client().room.create_room(request)
            if made.metadata != metadata:  # somebody was there first
                update = api.UpdateRoomMetadataRequest(room=room, metadata=metadata)
                await self._client().room.update_room_metadata(update)
        except _FAILURES as exc:
            raise self._away(exc) from exc

    async def view(self, room: str) -> RoomView:
        """Look into a room."""
        client = self._client()
        try:
            found = await client.room.list_rooms(api.ListRoomsRequest(names=[room]))
            if not found.rooms:
                return RoomView(exists=False)
            people = await client.room.list_participants(api.ListParticipantsRequest(room=room))
            dispatches = await client.agent_dispatch.list_dispatch(room)
        except api.TwirpError as exc:
            if exc.code == api.TwirpErrorCode.NOT_FOUND:  # it closed between two questions
                return RoomView(exists=False)
            raise self._away(exc) from exc
        except _FAILURES as exc:
            raise self._away(exc) from exc
        return _view(self._settings.agent_name, people.participants, dispatches)

    async def dispatch(self, room: str, conversation_id: str, mode: str) -> str:
        """Ask for an agent; return the dispatch's id."""
        metadata = json.dumps({"conversation_id": conversation_id, "mode": mode})
        request = api.CreateAgentDispatchRequest(
            agent_name=self._settings.agent_name, room=room, metadata=metadata
        )
        try:
            made = await self._client().agent_dispatch.create_dispatch(request)
        except _FAILURES as exc:
            raise self._away(exc) from exc
        return made.id

    async def withdraw(self, room: str, dispatch_id: str) -> None:
        """Take a dispatch back: LiveKit ends a job that it may have started meanwhile."""
        try:
            await self._client().agent_dispatch.delete_dispatch(dispatch_id, room)
        except api.TwirpError as exc:
            if exc.code != api.TwirpErrorCode.NOT_FOUND:
                raise self._away(exc) from exc
        except _FAILURES as exc:
            raise self._away(exc) from exc

    async def remove(self, room: str, identity: str) -> None:
        """Take a dead agent off the list: LiveKit keeps it there for 20 s."""
        request = api.RoomParticipantIdentity(room=room, identity=identity)
        try:
            await self._client().room.remove_participant(request)
        except api.TwirpError as exc:
            if exc.code != api.TwirpErrorCode.NOT_FOUND:
                raise self._away(exc) from exc
        except _FAILURES as exc:
            raise self._away(exc) from exc

    def _client(self) -> api.LiveKitAPI:
        if self._api is None:
            settings = self._settings
            self._api = api.LiveKitAPI(
                settings.livekit_url,
                settings.livekit_api_key,
                settings.livekit_api_secret.get_secret_value(),
                timeout=aiohttp.ClientTimeout(total=settings.livekit_timeout_s),
                failover=False,  # we retry ourselves, and say so in the call's detail
            )
        return self._api

    def _away(self, exc: Exception) -> Unavailable:
        url = self._settings.livekit_url
        if isinstance(exc, api.TwirpError):
            if exc.status in {401, 403}:
                detail = (
                    f"LiveKit at {url} refuses the key:"
                    " check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
                )
                return Unavailable("livekit_key", detail, retry_after_s=5)
            return Unavailable("livekit_failed", f"LiveKit at {url} answers {exc.code}")
        return Unavailable("livekit_away", f"LiveKit at {url} cannot be reached: is it running?")


_FAILURES: Final = (api.TwirpError, aiohttp.ClientError, TimeoutError, OSError)


def _view(
    name: str, people: Iterable[ParticipantInfo], dispatches: Iterable[AgentDispatch]
) -> RoomView:
    listed = list(people)
    agents = [p for p in listed if p.kind == ParticipantInfo.Kind.AGENT]
    return RoomView(
        exists=True,
        people_count=len(listed) - len(agents),
        agents=tuple(
            Agent(
                identity=p.identity,
                joined_ms=p.joined_at_ms or p.joined_at * 1000,
                active=p.state == ParticipantInfo.State.ACTIVE,
            )
            for p in agents
            if p.attributes.get(_AGENT_NAME, name) == name
        ),
        dispatches=tuple(
            Dispatch(
                id=d.id,
                created_ms=d.state.created_at // 1_000_000,
                identities=frozenset(job.state.participant_identity for job in d.state.jobs),
                taken=any(job.state.status in _RUNNING for job in d.state.jobs),
            )
            for d in dispatches
            if d.agent_name == name
        ),
    )
