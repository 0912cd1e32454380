"""Other agents in the same room: each shows its fence, and the highest one speaks.

The last line of defence, where neither Redis nor the backend could be asked who holds the lease.
"""

from collections.abc import Callable

from livekit import rtc

FENCE_ATTRIBUTE = "throughline.fence"
"""What other agents in the room see of us (ARCHITECTURE.md)."""


class Rivals:
    """The fences that other agents show in a room."""

    def __init__(self, room: rtc.Room, *, on_fence: Callable[[int], None]) -> None:
        """``on_fence``: told each fence that another agent shows."""
        self._room = room
        self._on_fence = on_fence

    def watch(self) -> None:
        """Look at who is there, and from now on at who comes and what they show."""
        self._room.on("participant_connected", self._look)
        self._room.on("participant_attributes_changed", self._changed)
        for participant in self._room.remote_participants.values():
            self._look(participant)

    def _changed(self, _changed: dict[str, str], participant: rtc.Participant) -> None:
        if participant.sid != self._room.local_participant.sid:
            self._look(participant)

    def _look(self, participant: rtc.Participant) -> None:
        """Only the server says who is an agent; a person could show any attribute."""
        if participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            return
        shown = participant.attributes.get(FENCE_ATTRIBUTE, "")
        if shown.isascii() and shown.isdigit():
            self._on_fence(int(shown))
