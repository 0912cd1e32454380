"""The one door to the state of a call: outbox first, then memory, then the relay's doorbell.

What is lost when it fails: with a working disk nothing. With a full disk the call goes on, events
wait in memory (bounded) for the disk to have room again, and are lost if the process dies first.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voice_agent.aio.soon import Soon
from voice_agent.domain.conversation import Conversation, WindowLimits, trim
from voice_agent.domain.errors import OutboxFull
from voice_agent.domain.events import Event
from voice_agent.domain.ids import EventId
from voice_agent.state.codec import encode_event
from voice_agent.state.outbox import Outbox

log = logging.getLogger(__name__)

WAITING_MAX = 2_000
"""Events kept in memory while the disk is full: an hour of talk (about 2 MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEvents:
    """Who is told. ``degraded(True)``: the outbox takes nothing; False: it does again.

    ``trimmed``: what left the window, oldest first. ``written``: an ordinal and the bytes that the
    outbox now has.
    """

    degraded: Callable[[bool], None]
    dropped: Callable[[Event], None]
    trimmed: Callable[[Sequence[Event]], None]
    written: Callable[[int, bytes], None] = lambda ordinal, data: None


def _nobody() -> None:
    """Memory-only mode has no relay."""


class Store:
    """The log of one call as its own process holds it.

    ``outbox`` None is memory-only mode: everything works except that nothing is kept.
    """

    def __init__(
        self,
        *,
        outbox: Outbox | None,
        conversation: Conversation,
        limits: WindowLimits,
        events: StoreEvents,
    ) -> None:
        self._outbox = outbox
        self._limits = limits
        self._events = events
        self._ring = Soon(outbox.ring if outbox is not None else _nobody)
        self._waiting: deque[tuple[Event, bytes]] = deque()
        self._waiting_ids: set[EventId] = set()
        self.conversation = conversation

    @property
    def degraded(self) -> bool:
        """Whether events wait in memory because the outbox takes none."""
        return bool(self._waiting)

    def append(self, event: Event) -> None:
        """Make ``event`` part of the log. When this returns it survives a kill -9 of the process,
        unless the store is ``degraded``.
        """
        if self._outbox is not None:
            self._write(self._outbox, event)
        self.conversation = self.conversation.apply(event)
        self.conversation, cut = trim(self.conversation, self._limits, in_outbox=self._is_written)
        if cut:
            self._events.trimmed(cut)

    def clear(self, session_number: int) -> None:
        """A new session began: the window is empty; the log itself keeps everything."""
        self.conversation = Conversation(
            session_number=session_number, state=self.conversation.state
        )

    def enter(self, session_number: int) -> None:
        """The session is known now: of what was shown meanwhile, nothing before it stays."""
        self.conversation = self.conversation.entered(session_number)

    def flush_waiting(self) -> bool:
        """Offer what waits to the outbox again; say whether nothing waits any more."""
        if self._outbox is not None and self._waiting:
            self._drain(self._outbox)
        return not self._waiting

    def _write(self, outbox: Outbox, event: Event) -> None:
        self._waiting.append((event, encode_event(event)))
        self._waiting_ids.add(event.event_id)
        self._drain(outbox)

    def _drain(self, outbox: Outbox) -> None:
        was_degraded = len(self._waiting) > 1
        try:
            while self._waiting:
                event, data = self._waiting[0]
                outbox.append(event.ordinal, data)
                self._waiting.popleft()
                self._waiting_ids.discard(event.event_id)
                self._events.written(event.ordinal, data)
        except OutboxFull as exc:
            self._refused(exc, first=not was_degraded)
        else:
            if was_degraded:
                log.warning("outbox takes records again", extra={"layer": "outbox"})
                self._events.degraded(False)
        self._ring.ask()

    def _refused(self, exc: OutboxFull, *, first: bool) -> None:
        if first:
            log.error(
                "outbox takes no records: free the disk; until then events wait in memory",
                extra={"layer": "outbox", "error_type": type(exc).__name__, "reason": exc.reason},
            )
            self._events.degraded(True)
        while len(self._waiting) > WAITING_MAX:
            event, _ = self._waiting.popleft()
            self._waiting_ids.discard(event.event_id)
            self._events.dropped(event)

    def _is_written(self, event_id: EventId) -> bool:
        return event_id not in self._waiting_ids
