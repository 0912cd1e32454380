"""What a reply waits for: that the caller's words are as safe as VOICE_OUTBOX__DURABILITY asks.

Never longer than ``LONGEST_S``, and it never fails: then the reply is spoken all the same and the
log of the conversation says so, in an ``error`` event that an audit can find.
"""

import asyncio
import logging

from voice_agent.aio.clock import Clock
from voice_agent.call.ports import CallObserver
from voice_agent.call.recorder import Recorder
from voice_agent.domain.errors import VoiceAgentError
from voice_agent.domain.events import ErrorReported, Event, Message
from voice_agent.state.outbox import Durability, Outbox

log = logging.getLogger(__name__)

LONGEST_S = 1.0
SOURCE = "durability"


class Assurance:
    """Makes replies wait in one call. ``outbox`` None: there is nothing to wait for."""

    def __init__(self, outbox: Outbox | None, *, clock: Clock, observer: CallObserver) -> None:
        self._outbox = outbox
        self._clock = clock
        self._observer = observer
        self._said = 0

    def recorded(self, event: Event) -> None:
        """Notice what a person said: the next reply waits for it."""
        if isinstance(event.body, Message) and event.body.role == "user":
            self._said = event.ordinal

    async def secured(self, recorder: Recorder) -> None:
        """Wait for what was said last. Never raises; may be cancelled."""
        outbox, said = self._outbox, self._said
        if outbox is None or not said or outbox.durability is Durability.PROCESS:
            return
        self._said = 0
        began_s = self._clock.monotonic_s()
        reason = ""
        try:
            async with asyncio.timeout(LONGEST_S):
                await outbox.secured(said, clock=self._clock)
        except (VoiceAgentError, TimeoutError) as exc:
            reason = type(exc).__name__
        self._observer.secured(self._clock.monotonic_s() - began_s, in_time=not reason)
        if reason:
            self._mark(recorder, outbox.durability, reason)

    def _mark(self, recorder: Recorder, durability: Durability, reason: str) -> None:
        log.warning(
            "reply is spoken before the caller's words are as safe as asked for",
            extra={"layer": "outbox", "durability": durability.value, "error_type": reason},
        )
        body = ErrorReported(
            source=SOURCE, error_type=reason, recoverable=True, detail=durability.value
        )
        recorder.record(body, recorder.turns.current)
