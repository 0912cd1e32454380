"""What happens in a call becomes events of the log: one identity, one ordinal, one instant each.

This is the audio path: it never waits. When ``record`` returns, the event survives the process.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from voice_agent.aio.clock import Clock
from voice_agent.domain.events import Body, Event, TurnEnded
from voice_agent.domain.ids import EventId, TurnId
from voice_agent.domain.turns import Entry, Turns
from voice_agent.domain.usage import Spending
from voice_agent.state.store import Store

RECENT_TURNS = 200


class Recorder:
    """The only maker of this writer's events."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        new_id: Callable[[], str],
        on_recorded: Callable[[Event], None],
        session_number: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``session_number``: the current one, once the backend has said it; never a guess.

        A turn stays in the session that it began in: a reply that a clear cut short, or words that
        were recognised late, are of the session that was cleared.
        """
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._on_recorded = on_recorded
        self._session_number = session_number
        self._ordinal = 0
        self._sessions: dict[TurnId, int | None] = {}
        self.turns = Turns(lambda: TurnId(new_id()))
        self.spending = Spending()
        """Goes into the log with the end of each turn; the rest with the end of the call."""

    @property
    def last_ordinal(self) -> int:
        """The ordinal of the newest event; 0 before the first."""
        return self._ordinal

    def record(self, body: Body, turn_id: TurnId | None = None) -> Event:
        """Write one event down. Synchronous: microseconds, no network."""
        if isinstance(body, TurnEnded):
            body = replace(body, usage=self.spending.take())
        self._ordinal += 1
        event = Event(
            event_id=EventId(self._new_id()),
            ordinal=self._ordinal,
            at=self._clock.now(),
            body=body,
            turn_id=turn_id,
            session_number=self._session_of(turn_id),
        )
        self._store.append(event)
        self._on_recorded(event)
        return event

    def record_all(self, entries: Iterable[Entry]) -> None:
        """Write down what the turn machine answered, in its order."""
        for turn_id, body in entries:
            self.record(body, turn_id)

    def _session_of(self, turn_id: TurnId | None) -> int | None:
        if turn_id is None:
            return self._session_number()
        number = self._sessions.setdefault(turn_id, self._session_number())
        if len(self._sessions) > RECENT_TURNS:
            del self._sessions[next(iter(self._sessions))]
        return number
