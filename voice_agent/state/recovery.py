"""Reading a conversation back: the backend, then what this pod's outboxes still hold of it.

Each step has a deadline. What could not be read is said, never guessed: the caller goes on with
what there is and marks the call degraded.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import TransientError, UnreadableRecord, VoiceAgentError
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import ConversationId
from voice_agent.state import frames
from voice_agent.state.codec import decode_event
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import SUFFIX, Bound, header_of
from voice_agent.state.ports import Backend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What was read back. ``source``: where from (backend, outbox, both joined by +, none)."""

    events: tuple[Event, ...] = ()
    source: str = "none"
    took_ms: float = 0.0
    missing: tuple[str, ...] = field(default=())
    """Layers that did not answer: the history may lack what only they had."""


class Recovery:
    """Reads one conversation's tail back."""

    def __init__(
        self,
        *,
        backend: Backend | None,
        outbox_folder: Path | None,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        self._backend = backend
        self._folder = outbox_folder
        self._clock = clock
        self._deadline_s = deadline_s

    async def recover(self, conversation_id: ConversationId, *, limit: int) -> Recovered:
        """Read the last ``limit`` messages. Never raises: what fails is in ``missing``."""
        began_s = self._clock.monotonic_s()
        sources: list[str] = []
        missing: list[str] = []
        events: list[Event] = []
        if self._backend is not None:
            try:
                async with asyncio.timeout(self._deadline_s):
                    events = await self._backend.get_recent_messages(conversation_id, limit)
                sources.append("backend")
            except (VoiceAgentError, TimeoutError) as exc:
                missing.append("backend")
                log.warning("history not read from the backend",
                            extra={"layer": "backend", "op": "recover",
                                   "conversation_id": conversation_id,
                                   "error_type": type(exc).__name__})  # fmt: skip
        tail = await self._outbox_tail(conversation_id, missing)
        known = {event.event_id for event in events}
        added = [event for event in tail if event.event_id not in known]
        if added:
            sources.append("outbox")
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        recovered = Recovered(
            events=tuple([*events, *added][-limit:]),
            source="+".join(sources) or "none",
            took_ms=took_ms,
            missing=tuple(missing),
        )
        log.info("conversation read back",
                 extra={"op": "recover", "conversation_id": conversation_id,
                        "source": recovered.source, "duration_ms": round(took_ms, 1),
                        "count": len(recovered.events), "missing": list(missing)})  # fmt: skip
        return recovered

    async def _outbox_tail(
        self, conversation_id: ConversationId, missing: list[str]
    ) -> list[Event]:
        if self._folder is None:
            return []
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.to_thread(_tail_of, self._folder, conversation_id)
        except (OSError, TransientError):
            missing.append("outbox")
            return []


def _tail_of(folder: Path, conversation_id: ConversationId) -> list[Event]:
    """Messages of a conversation that outboxes of this pod hold, by writer and ordinal."""
    events: list[Event] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):  # writer ids sort by time (UUIDv7)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # delivered meanwhile: the backend has it
        items = [item for item in frames.read(data) if isinstance(item, Frame)]
        if _conversation_of(items, path) != conversation_id:
            continue
        events += [event for item in items if (event := _message(item)) is not None]
    return events


def _conversation_of(items: list[Frame], path: Path) -> str | None:
    found: str | None = None
    for item in items:
        if item.type == FrameType.HEADER:
            try:
                found = header_of(item.payload, source=path.name).conversation_id
            except VoiceAgentError:
                return None
        elif item.type == FrameType.BOUND:
            found = msgspec.json.decode(item.payload, type=Bound).conversation_id
    return found


def _message(item: Frame) -> Event | None:
    if item.type != FrameType.EVENT:
        return None
    try:
        event = decode_event(item.payload)
    except UnreadableRecord:
        return None
    return event if isinstance(event.body, Message) else None
