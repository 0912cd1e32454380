"""The turn machine: which turn each thing that happens belongs to.

A turn is what one person said and everything the agent did about it; a greeting is a turn without
a user. livekit-agents has no such notion: replies are prepared before the person has finished,
several overlap, and a transcript may come after the reply to it. The machine is pure: ids come
from outside, and it answers with what to record, in order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from voice_agent.domain.events import Body, Message, Outcome, Speaker, TurnEnded, TurnStarted
from voice_agent.domain.ids import SpeechId, TurnId

Entry = tuple[TurnId | None, Body]
"""What to record, and the turn that it belongs to."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    turn_id: TurnId
    by_user: bool
    user_spoke: bool = False
    agent_spoke: bool = False
    cut: bool = False
    speeches: set[SpeechId] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)


class Turns:
    """The open turns of one call. Every method answers with the entries to record."""

    def __init__(self, new_id: Callable[[], TurnId]) -> None:
        self._new_id = new_id
        self._current: _Turn | None = None
        self._wordless: _Turn | None = None  # ended before its transcript came (realtime models)
        self._by_speech: dict[SpeechId, _Turn] = {}
        self._open: dict[TurnId, _Turn] = {}

    @property
    def current(self) -> TurnId | None:
        """The turn that belongs to the person who speaks or spoke last, while it is open."""
        return self._current.turn_id if self._current else None

    def turn_of(self, speech_id: SpeechId) -> TurnId | None:
        """The turn of a speech, while that turn is open."""
        turn = self._by_speech.get(speech_id)
        return turn.turn_id if turn else None

    def user_began(self, speaker: Speaker | None) -> list[Entry]:
        """A person began to speak. A pause inside one utterance does not begin a new turn."""
        if self._current and self._current.by_user and not self._current.user_spoke:
            return []
        entries = self._leave_current()
        return entries + self._begin(by_user=True, speaker=speaker)

    def user_said(self, message: Message) -> list[Entry]:
        """The words of a person became final."""
        entries: list[Entry] = []
        turn = self._current
        if turn is None or not turn.by_user or turn.user_spoke:
            late = self._wordless
            if late is not None:
                self._wordless = None
                return [(late.turn_id, message)]
            entries = self._leave_current() + self._begin(by_user=True, speaker=message.speaker)
            turn = self._current
        assert turn is not None
        turn.user_spoke = True
        return [*entries, (turn.turn_id, message)]

    def speech_created(self, speech_id: SpeechId) -> list[Entry]:
        """The agent is about to speak; some speeches are discarded unheard."""
        entries: list[Entry] = []
        if self._current is None:
            entries = self._begin(by_user=False, speaker=None)
        assert self._current is not None
        self._current.speeches.add(speech_id)
        self._by_speech[speech_id] = self._current
        return entries

    def agent_said(self, speech_id: SpeechId | None, message: Message) -> list[Entry]:
        """A reply, or the part of it that was heard, became final."""
        turn = self._by_speech.get(speech_id) if speech_id else self._current
        if turn is None:
            return [(None, message)]
        turn.agent_spoke = True
        turn.cut = turn.cut or message.interrupted
        return [(turn.turn_id, message)]

    def measured(self, speech_id: SpeechId | None, delays: Mapping[str, float]) -> None:
        """Note the delays (s) of a turn; the first figure of each name counts."""
        turn = self._by_speech.get(speech_id) if speech_id else self._current
        if turn is not None:
            turn.delays = {**delays, **turn.delays}

    def speech_done(self, speech_id: SpeechId, *, interrupted: bool) -> list[Entry]:
        """A speech ended, was cut short, or was discarded before anybody heard it."""
        turn = self._by_speech.pop(speech_id, None)
        if turn is None:
            return []
        turn.speeches.discard(speech_id)
        if turn.speeches:
            return []
        if turn is self._current and turn.by_user and not turn.agent_spoke and interrupted:
            return []  # a reply prepared too early, or cut before its first word: one may follow
        turn.cut = turn.cut or (interrupted and not turn.agent_spoke)
        return self._end(turn)

    def closed(self) -> list[Entry]:
        """The call is over: end every open turn as far as it got."""
        entries: list[Entry] = []
        for turn in list(self._open.values()):
            turn.cut = turn.cut or bool(turn.speeches)
            entries += self._end(turn, unanswered="abandoned")
        return entries

    def _begin(self, *, by_user: bool, speaker: Speaker | None) -> list[Entry]:
        turn = _Turn(turn_id=self._new_id(), by_user=by_user)
        self._current = turn
        self._open[turn.turn_id] = turn
        started = TurnStarted(initiator="user" if by_user else "agent", speaker=speaker)
        return [(turn.turn_id, started)]

    def _leave_current(self) -> list[Entry]:
        """Another turn begins. A turn whose reply is still being spoken ends with it."""
        turn, self._current = self._current, None
        if turn is None or turn.speeches:
            return []
        turn.cut = True
        return self._end(turn)

    def _end(self, turn: _Turn, *, unanswered: Outcome = "interrupted") -> list[Entry]:
        self._open.pop(turn.turn_id, None)
        for speech_id in turn.speeches:
            self._by_speech.pop(speech_id, None)
        if self._current is turn:
            self._current = None
        if turn.by_user and not turn.user_spoke:
            self._wordless = turn
        return [(turn.turn_id, TurnEnded(outcome=_outcome(turn, unanswered), delays=turn.delays))]


def _outcome(turn: _Turn, unanswered: Outcome) -> Outcome:
    if not turn.user_spoke and not turn.agent_spoke:
        return "empty"
    if not turn.agent_spoke:
        return unanswered
    return "interrupted" if turn.cut else "completed"
