"""Who is in the room, and whom the agent listens to.

livekit-agents links the first person and forgets to link anybody else when that one leaves: the
agent stays, mute (docs/livekit-agents.md). Here whoever is back, or still there, is linked.
"""

import logging
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from voice_agent.call.person import Person, facts_in
from voice_agent.call.recorder import Recorder
from voice_agent.domain.errors import InvalidPointer
from voice_agent.domain.events import Participant, ParticipantJoined, ParticipantLeft, Speaker
from voice_agent.domain.ids import Identity
from voice_agent.room.metadata import read_fields

log = logging.getLogger(__name__)

KIND_NAMES = {value: name.removeprefix("PARTICIPANT_KIND_").lower()
              for name, value in rtc.ParticipantKind.items()}  # fmt: skip
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
REASONS = {int(value): name.lower() for name, value in rtc.DisconnectReason.items()}


class People:
    """The people of one room."""

    def __init__(
        self, room: rtc.Room, recorder: Recorder, *, on_person: Callable[[Person], None]
    ) -> None:
        """``on_person``: somebody came, or what is said about them changed."""
        self._on_person = on_person
        self._room = room
        self._recorder = recorder
        self._session: AgentSession[Any] | None = None
        self._identities: set[str] = set()
        self.ever_came = False
        self.last_leave_reason = ""

    def use(self, session: AgentSession[Any]) -> None:
        """Know whom the session hears: before it starts, or its first words lack a speaker."""
        self._session = session

    def watch(self) -> None:
        """Record who is there, and follow who comes and goes from now on."""
        for participant in self._room.remote_participants.values():
            self._joined(participant)
        self._room.on("participant_connected", self._joined)
        self._room.on("participant_disconnected", self._left)
        self._room.on("participant_metadata_changed", self._described_anew)

    @property
    def present(self) -> list[rtc.RemoteParticipant]:
        """The people in the room now; agents are not people."""
        return [p for p in self._room.remote_participants.values() if p.kind != AGENT]

    @property
    def present_count(self) -> int:
        """People who came and did not leave; still right when the room itself is gone."""
        return len(self._identities)

    def speaker(self) -> Speaker | None:
        """The person whose voice the agent hears."""
        linked = self._linked()
        if linked is None:
            return None
        return Speaker(identity=Identity(linked.identity), name=linked.name)

    def _joined(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == AGENT:
            return
        self.ever_came = True
        self._identities.add(participant.identity)
        self._recorder.record(ParticipantJoined(participant=_described(participant)))
        self._on_person(person_of(participant))
        self._listen_to_somebody()

    def _described_anew(self, participant: rtc.Participant, *_: object) -> None:
        if isinstance(participant, rtc.RemoteParticipant) and participant.kind != AGENT:
            self._on_person(person_of(participant))

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == AGENT:
            return
        reason = REASONS.get(int(participant.disconnect_reason or 0), "unknown_reason")
        self.last_leave_reason = reason
        self._identities.discard(participant.identity)
        self._recorder.record(ParticipantLeft(participant=_described(participant), reason=reason))
        self._listen_to_somebody()

    def _listen_to_somebody(self) -> None:
        """Link whoever is there, when the linked one is not."""
        present = self.present
        linked = self._linked()
        if self._session is None or not present:
            return
        if linked is not None and any(p.identity == linked.identity for p in present):
            return
        try:
            self._session.room_io.set_participant(present[0].identity)
        except RuntimeError:
            return  # the session has not started: it links the first one itself
        log.info("agent listens to another participant", extra={"op": "link"})

    def _linked(self) -> rtc.RemoteParticipant | None:
        if self._session is None:
            return None
        try:
            return self._session.room_io.linked_participant
        except RuntimeError:
            return None


def person_of(participant: rtc.RemoteParticipant) -> Person:
    """Read what a participant's metadata says about them; what cannot be read says nothing."""
    try:
        fields = read_fields(participant.metadata, source="participant")
    except InvalidPointer as exc:
        log.warning("participant metadata refused", extra={"reason": exc.reason})
        fields = {}
    return Person(
        identity=Identity(participant.identity), name=participant.name, facts=facts_in(fields)
    )


def _described(participant: rtc.RemoteParticipant) -> Participant:
    return Participant(
        identity=Identity(participant.identity),
        name=participant.name,
        kind=KIND_NAMES.get(participant.kind, "standard"),
    )
