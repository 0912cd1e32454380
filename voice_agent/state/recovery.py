"""Reading a conversation back: Redis, the backend, then what this pod's outboxes still hold of it.

Each step has a deadline. Redis alone is enough only if its tail is known to reach the truth: as far
as the backend says that the last writer came. What could not be read is said, never guessed: the
caller goes on with what there is and marks the call degraded.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable, TransientError, VoiceAgentError
from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state import frames
from voice_agent.state.entries import Entry, Placed, events_of, messages_of
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.hot_cache import HotCache, Tail
from voice_agent.state.outbox import SUFFIX, Bound, Header, header_of
from voice_agent.state.ports import Backend, WriterGrant

log = logging.getLogger(__name__)

EVENTS_A_MESSAGE = 10
"""Events read from Redis for each message that is wanted; where they do not do, all are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What was read back. ``source``: where from (redis, backend, outbox, joined by +, or none)."""

    events: tuple[Event, ...] = ()
    source: str = "none"
    took_ms: float = 0.0
    missing: tuple[str, ...] = field(default=())
    """Layers that did not answer: the history may lack what only they had."""
    rewarm: tuple[Entry, ...] | None = None
    """What Redis should begin with, where its tail lacks something."""
    is_whole: bool = False
    """The messages begin with the conversation's first."""


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One recovery under way."""

    conversation_id: ConversationId
    limit: int
    grant: WriterGrant | None
    sources: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    tail: Tail | None = None

    @property
    def session_number(self) -> int | None:
        """The session that is shown; None while nobody knows it."""
        return self.grant.session_number if self.grant else None


class Recovery:
    """Reads one conversation's tail back."""

    def __init__(
        self,
        *,
        cache: HotCache | None,
        backend: Backend | None,
        outbox_folder: Path | None,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        """``cache`` and ``backend`` None: there is none, or it is known to be away."""
        self._cache = cache
        self._backend = backend
        self._folder = outbox_folder
        self._clock = clock
        self._deadline_s = deadline_s

    async def recover(
        self, conversation_id: ConversationId, *, limit: int, grant: WriterGrant | None
    ) -> Recovered:
        """Read the last ``limit`` messages. Never raises: what fails is in ``missing``.

        ``grant``: what the backend said of the conversation; None while it is away.
        """
        began_s = self._clock.monotonic_s()
        reading = _Reading(conversation_id=conversation_id, limit=limit, grant=grant)
        hot = await self._from_redis(reading)
        reaches_truth = hot is not None and _reaches_truth(reading, hot)
        stored: list[Entry] = []
        if not reaches_truth:
            stored = await self._from_backend(reading)
        own = await self._from_outboxes(reading)
        entries = [*stored, *(hot or ()), *own]
        found = messages_of(entries, session_number=reading.session_number)
        self._name_outbox(reading, found, own, [*stored, *(hot or ())])
        shown = found[-limit:]
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        is_asked = "backend" in reading.sources
        recovered = Recovered(
            events=tuple(events_of(shown)),
            source="+".join(reading.sources) or "none",
            took_ms=took_ms,
            missing=tuple(reading.missing),
            rewarm=tuple(placed.entry for placed in shown) if is_asked else None,
            is_whole=is_asked and len(stored) < limit,
        )
        log.info("conversation read back",
                 extra={"op": "recover", "conversation_id": conversation_id,
                        "source": recovered.source, "duration_ms": round(took_ms, 1),
                        "count": len(shown), "missing": list(reading.missing)})  # fmt: skip
        return recovered

    async def _from_redis(self, reading: _Reading) -> Sequence[Entry] | None:
        if self._cache is None:
            return None
        most = reading.limit * EVENTS_A_MESSAGE
        try:
            tail = await self._cache.read(reading.conversation_id, most=most)
            if len(tail.entries) == most and not _is_enough(reading, tail):
                tail = await self._cache.read(reading.conversation_id)
        except LayerUnavailable:
            reading.missing.append("redis")
            return None
        reading.tail = tail
        if tail.entries:
            reading.sources.append("redis")
        return tail.entries

    async def _from_backend(self, reading: _Reading) -> list[Entry]:
        if self._backend is None:
            return []
        try:
            async with asyncio.timeout(self._deadline_s):
                entries = await self._backend.get_recent_entries(
                    reading.conversation_id, reading.limit
                )
        except (VoiceAgentError, TimeoutError) as exc:
            reading.missing.append("backend")
            log.warning("history not read from the backend",
                        extra={"layer": "backend", "op": "recover",
                               "conversation_id": reading.conversation_id,
                               "error_type": type(exc).__name__})  # fmt: skip
            return []
        reading.sources.append("backend")
        return entries

    async def _from_outboxes(self, reading: _Reading) -> list[Entry]:
        if self._folder is None:
            return []
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.to_thread(_tails_of, self._folder, reading.conversation_id)
        except (OSError, TransientError):
            reading.missing.append("outbox")
            return []

    def _name_outbox(
        self,
        reading: _Reading,
        found: Sequence[Placed],
        own: Sequence[Entry],
        others: Sequence[Entry],
    ) -> None:
        """Say that outboxes gave something, if what is shown is in no other layer."""
        elsewhere = {(entry.writer_id, entry.ordinal) for entry in others}
        only_here = {(entry.writer_id, entry.ordinal) for entry in own} - elsewhere
        shown = {(one.entry.writer_id, one.entry.ordinal) for one in found[-reading.limit :]}
        if only_here & shown:
            reading.sources.append("outbox")


def _reaches_truth(reading: _Reading, entries: Sequence[Entry]) -> bool:
    """Whether Redis has all that the backend could add to what will be shown."""
    tail, grant = reading.tail, reading.grant
    if tail is None or grant is None or grant.previous is None or tail.is_stale:
        return False
    for previous in grant.previous:
        if tail.reached.get(previous.writer_id, 0) < previous.last_ordinal:
            return False
    return bool(entries) and _is_enough(reading, tail)


def _is_enough(reading: _Reading, tail: Tail) -> bool:
    """Whether nothing before the tail would be shown: enough messages, or a beginning is in it."""
    if tail.is_whole:
        return True
    every = messages_of(tail.entries, session_number=0)
    if any(placed.summary.session_number is None for placed in every):
        return False  # written before anybody knew the session: only the backend can tell
    shown = messages_of(tail.entries, session_number=reading.session_number)
    return len(shown) >= reading.limit or len(shown) < len(every)


def _tails_of(folder: Path, conversation_id: ConversationId) -> list[Entry]:
    """What outboxes of this pod hold of a conversation. Blocking."""
    entries: list[Entry] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):  # writer ids sort by time (UUIDv7)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # delivered meanwhile: the backend has it
        entries += _tail_of(data, path, conversation_id)
    return entries


def _tail_of(data: bytes, path: Path, conversation_id: ConversationId) -> Iterator[Entry]:
    header: Header | None = None
    bound: str | None = None
    events: list[Frame] = []
    for item in frames.read(data):
        match item:
            case Frame(type=FrameType.HEADER):
                try:
                    header = header_of(item.payload, source=path.name)
                except VoiceAgentError:
                    return
                bound = header.conversation_id or bound
            case Frame(type=FrameType.BOUND):
                bound = msgspec.json.decode(item.payload, type=Bound).conversation_id
            case Frame(type=FrameType.EVENT):
                events.append(item)
    if header is None or bound != conversation_id:
        return
    for event in events:
        yield Entry(
            writer_id=WriterId(header.writer_id),
            fence=header.fence,
            ordinal=event.ordinal,
            data=event.payload,
        )
