"""Why a call ended, as far as this process can know. What nobody here knows the relay records.

Reasons: caller_left, room_deleted, room_closed, connection_lost, agent_stopped (a drained or
stopped worker), session_error, provider_failed (turn after turn), agent_failed (our own code),
already_served, superseded, no_caller; agent_died, which only the relay can say; and
agent_lost, which the backend says when pod and relay are gone too.
"""

from livekit import rtc

from voice_agent.room.people import People

_BY_DISCONNECT = {
    rtc.DisconnectReason.ROOM_DELETED: "room_deleted",
    rtc.DisconnectReason.ROOM_CLOSED: "room_closed",
}
_OURS = {rtc.DisconnectReason.CLIENT_INITIATED}


class Ending:
    """Collects what is seen of the end of one call."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._noted: str | None = None
        self._disconnect: str | None = None
        room.on("disconnected", self._on_disconnected)

    def note(self, reason: str) -> None:
        """Say why the call ends, when we are the ones who end it. The first reason wins."""
        self._noted = self._noted or reason

    def reason(self, people: People | None) -> str:
        """The reason to record."""
        if self._noted is not None:
            return self._noted
        if people is None:
            return "agent_failed"
        if not people.ever_came:
            return "no_caller"
        if people.last_leave_reason == "room_deleted" or self._disconnect == "room_deleted":
            return "room_deleted"
        if not people.present_count:
            return "caller_left"
        return self._disconnect or "agent_stopped"

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if reason not in _OURS:
            self._disconnect = self._disconnect or _BY_DISCONNECT.get(reason, "connection_lost")
