"""What a model may ask of its own conversation while it talks: to search it, and to begin anew.

Nothing here is waited for longer than a caller would wait. Where the backend is away the answer
says so, and the call goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Protocol

from voice_agent.domain.conversation import Conversation
from voice_agent.domain.errors import VoiceAgentError
from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId, EventId

SEARCH_S = 1.0
"""Longest wait for a search: a pause that a caller still takes for thought."""
CLEAR_S = 3.0
"""Longest wait for a clear: the backend itself waits up to 2 s for this agent (API)."""
FETCHED = 50
BEAT_S = 0.1
REASON = "asked for in the call"


class Log(Protocol):
    """The conversation's log, as far as it is asked (``BackendClient``)."""

    async def search_conversation(
        self, conversation_id: ConversationId, query: str, limit: int = 10
    ) -> list[Event]: ...
    async def clear_context(
        self, conversation_id: ConversationId, *, event_id: EventId, reason: str | None = None
    ) -> int: ...


class Clearing(Enum):
    """What became of a clear. ``UNKNOWN``: perhaps done; then the next heartbeat says so."""

    DONE = "done"
    AWAY = "away"
    UNKNOWN = "unknown"


class Asking:
    """One call's questions to its log."""

    def __init__(
        self,
        log: Log | None,
        *,
        conversation_id: Callable[[], ConversationId | None],
        seen: Callable[[], Conversation],
        new_id: Callable[[], str],
        beat: Callable[[], Awaitable[None]],
        forget: Callable[[], Awaitable[None]],
    ) -> None:
        """``log`` None: memory-only mode. ``conversation_id``: None while it is not known for good.

        ``seen``: what the model sees.

        ``beat``: ask how the conversation stands, and drop the window if it was cleared.
        ``forget``: drop the window, where there is nobody to ask.
        """
        self._log = log
        self._conversation_id = conversation_id
        self._seen = seen
        self._new_id = new_id
        self._beat = beat
        self._forget = forget
        self.may_search = log is not None
        """There is a log beyond the window, and the settings let the model look into it."""
        self.is_long = False
        """No window can stand for the conversation: the model should search (S1.17)."""
        self.is_clearing = False
        """A clear that the model asked for is under way: the reply that asked goes on."""

    async def search(self, words: str, limit: int) -> Sequence[Event] | None:
        """Find messages with all of these words, best first; None: not to be had now.

        Left out is what the model sees already, the question itself for one, and what was cleared.
        """
        conversation_id = self._conversation_id()
        if self._log is None or conversation_id is None:
            return None
        try:
            async with asyncio.timeout(SEARCH_S):
                found = await self._log.search_conversation(conversation_id, words, FETCHED)
        except (VoiceAgentError, TimeoutError):
            return None
        return [event for event in found if self._is_hidden(event)][:limit]

    def _is_hidden(self, event: Event) -> bool:
        seen = self._seen()
        number = seen.session_number if event.session_number is None else event.session_number
        return number >= seen.session_number and event.event_id not in {
            each.event_id for each in seen.window
        }

    async def clear(self) -> Clearing:
        """Begin a new session. Never raises; asked again there is one more."""
        conversation_id = self._conversation_id()
        if self._log is not None and conversation_id is None:
            return Clearing.AWAY
        self.is_clearing = True
        try:
            if self._log is None or conversation_id is None:
                await self._forget()
                return Clearing.DONE
            return await self._clear(self._log, conversation_id)
        finally:
            self.is_clearing = False

    async def _clear(self, log: Log, conversation_id: ConversationId) -> Clearing:
        """Ask the backend, and meanwhile look whether it has happened: it waits for us."""
        outcome = Clearing.UNKNOWN
        is_answered = asyncio.Event()

        async def ask() -> None:
            nonlocal outcome
            try:
                await log.clear_context(
                    conversation_id, event_id=EventId(self._new_id()), reason=REASON
                )
                outcome = Clearing.DONE
            except VoiceAgentError:
                pass
            finally:
                is_answered.set()

        async def look() -> None:
            while not is_answered.is_set():
                await self._beat()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await is_answered.wait()

        try:
            async with asyncio.timeout(CLEAR_S), asyncio.TaskGroup() as both:
                both.create_task(ask())
                both.create_task(look())
        except TimeoutError:
            return Clearing.UNKNOWN
        return outcome
