"""What was trimmed from the window leaves a summary, written beside the call.

The originals stay in the log; the summary only stands for them before the model. If writing it
fails the model lacks what was trimmed, and the next trim tries again with more to cover.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from voice_agent.aio.supervisor import Jobs
from voice_agent.call.recorder import Recorder
from voice_agent.domain.errors import VoiceAgentError
from voice_agent.domain.events import Event, Message, Summary
from voice_agent.domain.usage import Usage

log = logging.getLogger(__name__)

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarised:
    """A summary, and what a model used up for it."""

    text: str
    usage: Usage | None = None


class Summariser(Protocol):
    """Writes summaries: a model, or rules."""

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        """Say in a few sentences what ``messages`` add to ``previous``, and keep what it says."""
        ...


class Summaries:
    """Collects what was trimmed and has it summarised, one at a time."""

    def __init__(self, summariser: Summariser, recorder: Recorder, *, previous: str = "") -> None:
        self._summariser = summariser
        self._recorder = recorder
        self._previous = previous
        self._cut: list[Event] = []
        self._covered_count = 0
        self._cleared_count = 0
        self._arrived = asyncio.Event()

    def trimmed(self, cut: Sequence[Event]) -> None:
        """Take what left the window. Synchronous: called on the audio path."""
        self._cut += cut
        self._arrived.set()

    def forget(self) -> None:
        """The context was cleared: nothing of before is summarised any more."""
        self._cut.clear()
        self._previous = ""
        self._covered_count = 0
        self._cleared_count += 1

    async def keep(self, jobs: Jobs) -> None:
        """Write summaries until the call stops."""
        while not jobs.stopping.is_set():
            await self._arrived.wait()
            self._arrived.clear()
            await self._write()

    async def _write(self) -> None:
        cut = list(self._cut)
        said = [event.body for event in cut if isinstance(event.body, Message)]
        if not said:
            return
        clears = self._cleared_count
        try:
            async with asyncio.timeout(DEADLINE_S):
                made = await self._summariser.summarise(self._previous, said)
        except (VoiceAgentError, TimeoutError) as exc:
            log.warning("summary not written", extra={"error_type": type(exc).__name__})
            return
        if made.usage is not None:
            self._recorder.spending.add(made.usage)
        if self._cleared_count != clears:
            return  # of what was cleared meanwhile
        del self._cut[: len(cut)]
        self._previous = made.text
        self._covered_count += len(said)
        covers = {"up_to_event_id": cut[-1].event_id, "message_count": self._covered_count}
        self._recorder.record(Summary(text=made.text, covers=covers))
