"""The turn machine: which turn each thing that happens belongs to.

A turn is what one person said and everything the agent did about it; a greeting is a turn without
a user. livekit-agents has no such notion: replies are prepared before the person has finished,
several overlap, and a transcript may come after the reply to it. The machine is pure: ids come
from outside, and it answers with what to record, in order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from voice_agent.domain.events import Body, Message, Outcome, Speaker, TurnEnded, TurnStarted
from voice_agent.domain.ids import ItemId, SpeechId, TurnId

Entry = tuple[TurnId | None, Body]
"""What to record, and the turn that it belongs to."""

UNHEARD_MAX = 8
"""Turns whose words may still come; transcripts are at most a few turns late."""
SLACK_S = 0.1
"""How far two clocks' readings of one beginning may be apart, in one process."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Turn:
    turn_id: TurnId
    by_user: bool
    speaker: Speaker | None = None
    began_at: float | None = None
    user_spoke: bool = False
    is_over: bool = False  # the person's part: whatever they say from here on is another turn
    speaks_again: bool = False  # after words, and before it was over
    agent_spoke: bool = False
    agent_acted: bool = False
    owes_reply: bool = False  # to a tool's result, in a speech that is not there yet
    cut: bool = False
    reply_cut: bool = False  # before its first word; another may follow
    speeches: set[SpeechId] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)


class Turns:
    """The open turns of one call. Methods that change them answer with the entries to record."""

    def __init__(self, new_id: Callable[[], TurnId]) -> None:
        self._new_id = new_id
        self._current: _Turn | None = None
        self._is_speaking = False
        self._unheard: list[_Turn] = []  # people's turns whose words have not come, oldest first
        self._halves: dict[ItemId | None, tuple[_Turn, Message]] = {}
        self._by_speech: dict[SpeechId, _Turn] = {}
        self._unbegun: list[SpeechId] = []  # created, and nobody has heard them yet
        self._open: dict[TurnId, _Turn] = {}

    @property
    def current(self) -> TurnId | None:
        """The turn that belongs to the person who speaks or spoke last, while it is open."""
        return self._current.turn_id if self._current else None

    def turn_of(self, speech_id: SpeechId) -> TurnId | None:
        """The turn of a speech, while that turn is open."""
        turn = self._by_speech.get(speech_id)
        return turn.turn_id if turn else None

    def half_said(self, item_id: ItemId | None) -> str:
        """What was heard so far of an utterance that is not over."""
        return self._halves[item_id][1].text if item_id in self._halves else ""

    def user_began(self, speaker: Speaker | None, *, at: float | None = None) -> list[Entry]:
        """A person began to speak. A pause inside one utterance does not begin a new turn."""
        self._is_speaking = True
        if self._current is not None and self._current.owes_reply:
            return []  # models announce their own reply like this; a person's words will follow
        turn = self._talking()
        if turn is not None:
            turn.speaks_again = turn.user_spoke
            return []
        return self._leave_current() + self._begin(by_user=True, speaker=speaker, at=at)

    def user_paused(self) -> None:
        """Nobody speaks."""
        self._is_speaking = False

    def user_half_said(self, message: Message) -> list[Entry]:
        """These are the words so far; they replace those before. Kept for when no more come."""
        entries: list[Entry] = []
        known = self._halves.pop(message.item_id, None)
        if message.item_id is None:
            turn = self._talking()
        else:
            turn = known[0] if known else self._unheard_turn(None)
        if turn is None:
            entries, turn = self._next(message.speaker)
        self._halves[message.item_id] = (turn, message)
        return entries

    def user_cut_off(self) -> list[Entry]:
        """The recogniser failed: what it had half heard is all there will be of it."""
        if None not in self._halves:
            return []
        turn, message = self._halves.pop(None)
        self._hear(turn)
        return [(turn.turn_id, replace(message, interrupted=True))]

    def user_said_part(self, message: Message) -> list[Entry]:
        """A final transcript of a pipeline; the turn may go on until ``user_finished``."""
        entries: list[Entry] = []
        self._halves.pop(message.item_id, None)
        turn = self._talking() or self._unheard_turn(None)
        if turn is None:
            entries, turn = self._next(message.speaker)
        self._hear(turn)
        turn.speaks_again = turn.speaks_again and self._is_speaking
        return [*entries, (turn.turn_id, message)]

    def user_finished(self, turn_id: TurnId) -> list[Entry]:
        """The framework took what was said for a whole turn."""
        turn = self._open.get(turn_id)
        if turn is None:
            return []
        turn.is_over = True
        if turn is self._current and turn.speaks_again and self._is_speaking:
            return self._next(turn.speaker)[0]
        return []

    def user_said(self, message: Message, *, began_at: float | None = None) -> list[Entry]:
        """A whole utterance became final (realtime models), perhaps after the reply to it."""
        entries: list[Entry] = []
        turn = self._turn_of_item(message.item_id, began_at)
        if turn is None:
            entries, turn = self._next(message.speaker)
        self._hear(turn, in_order=began_at is None)
        turn.is_over = True
        return [*entries, (turn.turn_id, message)]

    def user_said_nothing(self, item_id: ItemId | None) -> list[Entry]:
        """A whole utterance became final, and there are no words in it."""
        turn = self._turn_of_item(item_id, None)
        if turn is None or turn.user_spoke:
            return []
        self._unheard.remove(turn)
        turn.is_over = True
        is_idle = turn.turn_id in self._open and not turn.speeches
        return self._end(turn) if is_idle else []

    def user_typed(self, message: Message) -> list[Entry]:
        """A typed line is a turn of its own, with the reply that was made for it."""
        speech_id = self._take_speech_for_typed()
        entries, turn = self._next(message.speaker)
        self._hear(turn, in_order=False)
        turn.is_over = True
        if speech_id is not None:
            self._assign(speech_id, turn)
        return [*entries, (turn.turn_id, message)]

    def speech_created(self, speech_id: SpeechId) -> list[Entry]:
        """The agent is about to speak; some speeches are discarded unheard.

        It answers whoever speaks or spoke last. If nobody did, its turn begins when it is heard:
        the line it answers may be announced only then.
        """
        self._unbegun.append(speech_id)
        if self._current is not None:
            self._assign(speech_id, self._current)
            self._current.owes_reply = False
        return []

    def agent_began(self, speech_id: SpeechId | None) -> list[Entry]:
        """A reply is heard, or a tool works for it: what it answers is over."""
        if speech_id is None:
            return []
        entries: list[Entry] = []
        if speech_id in self._unbegun and speech_id not in self._by_speech:
            listening = self._current
            entries = self._begin(by_user=False, speaker=None)
            assert self._current is not None
            self._assign(speech_id, self._current)
            self._current = listening or self._current
        if speech_id in self._unbegun:
            self._unbegun.remove(speech_id)
        turn = self._by_speech.get(speech_id)
        if turn is not None:
            turn.is_over = True
        return entries

    def agent_acted(self, turn_id: TurnId | None, *, reply_follows: bool = False) -> None:
        """The agent called a tool: the turn is answered even if nothing is said.

        ``reply_follows``: what it says to the result will be another speech, not this one.
        """
        turn = self._open.get(turn_id) if turn_id else None
        if turn is not None:
            turn.agent_acted = turn.is_over = True
            turn.owes_reply = reply_follows

    def agent_said(self, speech_id: SpeechId | None, message: Message) -> list[Entry]:
        """A reply, or the part of it that was heard, became final."""
        entries = self.agent_began(speech_id)
        turn = self._by_speech.get(speech_id) if speech_id else self._current
        if turn is None:
            return [*entries, (None, message)]
        turn.agent_spoke = turn.is_over = True
        turn.cut = turn.cut or message.interrupted
        return [*entries, (turn.turn_id, message)]

    def measured(self, turn_id: TurnId | None, delays: Mapping[str, float]) -> None:
        """Note the delays (s) of a turn; the first figure of each name counts."""
        turn = self._open.get(turn_id) if turn_id else None
        if turn is not None:
            turn.delays = {**delays, **turn.delays}

    def speech_done(self, speech_id: SpeechId, *, interrupted: bool) -> list[Entry]:
        """A speech ended, was cut short, or was discarded before anybody heard it."""
        if speech_id in self._unbegun:
            self._unbegun.remove(speech_id)
        turn = self._by_speech.pop(speech_id, None)
        if turn is None:
            return []
        turn.speeches.discard(speech_id)
        if turn.speeches or (turn is self._current and turn.owes_reply and not interrupted):
            return []
        if turn is self._current and turn.by_user and not turn.agent_spoke and interrupted:
            turn.reply_cut = turn.is_over
            return []  # a reply prepared too early, or cut before its first word: one may follow
        turn.cut = turn.cut or (interrupted and not turn.agent_spoke)
        return self._end(turn)

    def closed(self) -> list[Entry]:
        """The call is over: what was half said is all; open turns end as far as they got."""
        entries: list[Entry] = []
        for turn, message in self._halves.values():
            self._hear(turn)
            entries.append((turn.turn_id, replace(message, interrupted=True)))
        self._halves.clear()
        for turn in list(self._open.values()):
            turn.cut = turn.cut or bool(turn.speeches)
            entries += self._end(turn)
        return entries

    def _talking(self) -> _Turn | None:
        """The turn in which a person speaks on, if there is one."""
        turn = self._current
        return turn if turn is not None and turn.by_user and not turn.is_over else None

    def _turn_of_item(self, item_id: ItemId | None, began_at: float | None) -> _Turn | None:
        """The turn of a whole utterance. When it began says more than where it was half heard."""
        half = self._halves.pop(item_id, None)
        if half is not None and began_at is None:
            return half[0]
        return self._unheard_turn(began_at)

    def _unheard_turn(self, began_at: float | None) -> _Turn | None:
        """The turn whose words these are: the last that had begun by ``began_at``.

        Where nobody says when: the last in which nobody speaks on. Not the oldest, because some
        transcripts never come, and then every later one would be a turn too early.
        """
        taken = [turn for turn, _ in self._halves.values()]
        waiting = [turn for turn in self._unheard if turn not in taken]
        if began_at is not None:
            fits = [t for t in waiting if t.began_at and t.began_at <= began_at + SLACK_S]
        else:
            fits = [t for t in waiting if not (self._is_speaking and t is self._current)]
        best = fits or waiting
        return best[-1] if best else None

    def _hear(self, turn: _Turn, *, in_order: bool = True) -> None:
        """Words of ``turn`` came; ``in_order``: none of turns before it come any more."""
        turn.user_spoke = True
        if turn in self._unheard:
            at = self._unheard.index(turn)
            del self._unheard[0 if in_order else at : at + 1]

    def _take_speech_for_typed(self) -> SpeechId | None:
        """The speech that answers a typed line: it is created before the line is announced."""
        alone = [one for one in self._unbegun if one not in self._by_speech]
        if not self._unbegun:
            return None
        speech_id = alone[0] if alone else self._unbegun[-1]
        former = self._by_speech.pop(speech_id, None)
        if former is not None:
            former.speeches.discard(speech_id)
        return speech_id

    def _assign(self, speech_id: SpeechId, turn: _Turn) -> None:
        turn.speeches.add(speech_id)
        self._by_speech[speech_id] = turn

    def _next(self, speaker: Speaker | None) -> tuple[list[Entry], _Turn]:
        """Leave the current turn for a new one of a person."""
        entries = self._leave_current() + self._begin(by_user=True, speaker=speaker)
        return entries, self._unheard[-1]

    def _begin(
        self, *, by_user: bool, speaker: Speaker | None, at: float | None = None
    ) -> list[Entry]:
        turn = _Turn(turn_id=self._new_id(), by_user=by_user, speaker=speaker, began_at=at)
        self._current = turn
        self._open[turn.turn_id] = turn
        if by_user:
            self._unheard = [*self._unheard, turn][-UNHEARD_MAX:]
        started = TurnStarted(initiator="user" if by_user else "agent", speaker=speaker)
        return [(turn.turn_id, started)]

    def _leave_current(self) -> list[Entry]:
        """Another turn begins. A turn whose reply is still being spoken ends with it."""
        turn, self._current = self._current, None
        if turn is None or turn.speeches:
            return []
        turn.cut = True
        return self._end(turn)

    def _end(self, turn: _Turn) -> list[Entry]:
        self._open.pop(turn.turn_id, None)
        for speech_id in turn.speeches:
            self._by_speech.pop(speech_id, None)
        if self._current is turn:
            self._current = None
        return [(turn.turn_id, TurnEnded(outcome=_outcome(turn), delays=turn.delays))]


def _outcome(turn: _Turn) -> Outcome:
    if not (turn.user_spoke or turn.agent_spoke or turn.agent_acted):
        return "empty"
    if turn.cut or (turn.reply_cut and not turn.agent_spoke):
        return "interrupted"
    return "completed" if turn.agent_spoke or turn.agent_acted else "abandoned"
