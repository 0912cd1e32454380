"""Bringing one outbox file to the backend, in order, batched, and not more than once.

One ``Delivery`` per file. The file says all that is needed, so it works the same for a live job, a
dead one, and one whose call began while the backend was away.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import msgspec

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable, RequestRefused
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.acks import Ack, ack_of, write_ack
from voice_agent.state.codec import instant
from voice_agent.state.dead_letters import DeadLetters, Letter, event_as_json
from voice_agent.state.hot_cache import Scribe
from voice_agent.state.hot_refill import HotRefill
from voice_agent.state.hot_tier import HotTier
from voice_agent.state.outbox import Header
from voice_agent.state.ports import Backend, Registration
from voice_agent.state.reading import OutboxReader, Record

log = logging.getLogger(__name__)

BATCH_EVENTS = 50
"""facts/performance.md §3: batches of 50 reach the database's own rate."""
BATCH_BYTES = 512 * 1024
DIED = "agent_died"
NOT_ABOUT_EVENTS = frozenset({401, 403, 404})
"""A refusal of the token, the writer or the conversation: no event is to blame."""


class Outcome(Enum):
    """Where a step left the file."""

    GROWING = auto()  # delivered so far; its writer lives
    SETTLED = auto()  # delivered, ended, gone
    REPLACED = auto()  # delivered; its writer has written it anew under the same name


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a delivery has done so far, for the relay's metrics."""

    delivered_count: int = 0
    lost_count: int = 0
    gap_count: int = 0
    dead_count: int = 0
    pending: list[Record] = field(default_factory=list)


class Delivery:
    """The delivery of one outbox file. ``step`` until it is no longer growing."""

    def __init__(
        self,
        path: Path,
        *,
        backend: Backend,
        hot: HotTier | None,
        clock: Clock,
        progress: Progress,
    ) -> None:
        """``hot``: what pods share in Redis, if there is one."""
        self._reader = OutboxReader(path)
        self._hot = hot
        self._refill = HotRefill(hot.cache, read_after=self._reader.events_after) if hot else None
        self._is_released = False
        self._acknowledged = 0
        self._backend = backend
        self._clock = clock
        self._progress = progress
        self._ack = ack_of(path)
        self._letters = DeadLetters(path.parent)
        self._conversation_id: ConversationId | None = None
        self._fence: int | None = None
        self._singly = 0
        """So many records are sent one by one: one of them is refused, nobody said which."""

    @property
    def writer_id(self) -> WriterId:
        """The writer whose file this is."""
        return self._reader.writer_id

    def open(self) -> None:
        """Open the file and find the place that was acknowledged last. Blocking: use a thread."""
        self._reader.open()

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        self._reader.close()

    async def step(self) -> Outcome:
        """Deliver what there is.

        Raises:
            LayerUnavailable: the backend is away; what was not acknowledged is still pending.
            RequestRefused: the backend will not have this writer at all (see ``relay``).
            NewerFormat: the rest of the file is for a later program, and stays for it.
        """
        if self._reader.header is not None:
            await self._send_pending()
        dead = await asyncio.to_thread(self._reader.writer_is_dead)
        more = True
        while more:
            more = await self._read_on(dead=dead)
            await self._share(is_dead=dead)
            if self._reader.header is not None:
                await self._send_pending()
        if not dead:
            return Outcome.GROWING
        if await asyncio.to_thread(self._reader.is_replaced):
            return Outcome.REPLACED
        if self._reader.header is None:
            await self._give_up_headless()
        else:
            await self._settle(self._reader.header)
        return Outcome.SETTLED

    async def _read_on(self, *, dead: bool) -> bool:
        found = await asyncio.to_thread(self._reader.read, dead=dead)
        self._progress.pending += found.records
        self._progress.lost_count += found.damaged
        self._progress.gap_count += found.gaps
        return found.more

    async def _share(self, *, is_dead: bool) -> None:
        """Keep this writer's part of the hot tail without gaps. Never raises."""
        header = self._reader.header
        conversation_id = self._conversation_id or self._reader.conversation_id
        if self._refill is None or header is None or conversation_id is None:
            return
        if is_dead:
            await self._release(conversation_id)
        await self._refill.step(
            conversation_id,
            Scribe(
                writer_id=self.writer_id,
                fence=self._fence or header.fence,
                header=msgspec.json.encode(header),
            ),
            last_ordinal=self._reader.last_ordinal,
            acknowledged=self._acknowledged,
            is_dead=is_dead,
        )

    async def _release(self, conversation_id: ConversationId) -> None:
        """The writer is dead: whoever waits for its lease need not wait for its expiry."""
        if self._hot is not None and not self._is_released:
            with suppress(LayerUnavailable):
                await self._hot.leases.release(conversation_id, self.writer_id)
                self._is_released = True

    async def _send_pending(self) -> None:
        while self._progress.pending:
            assert self._reader.header is not None
            conversation_id = await self._introduce(self._reader.header)
            most = 1 if self._singly else BATCH_EVENTS
            await self._send(conversation_id, _batch_of(self._progress.pending, most))

    async def _send(self, conversation_id: ConversationId, batch: list[Record]) -> None:
        try:
            await self._backend.store_events(
                conversation_id, self.writer_id, [record.data for record in batch]
            )
        except RequestRefused as exc:
            if exc.status in NOT_ABOUT_EVENTS:
                raise
            await self._set_aside(batch, exc)
        else:
            await self._acknowledge(batch)

    async def _acknowledge(self, batch: list[Record]) -> None:
        del self._progress.pending[: len(batch)]
        self._progress.delivered_count += len(batch)
        self._singly = max(0, self._singly - len(batch))
        last = batch[-1]
        self._acknowledged = last.ordinal
        ack = Ack(end=last.end, ordinal=last.ordinal, file=self._reader.inode)
        with suppress(OSError):  # then it is delivered twice, which is harmless
            await asyncio.to_thread(write_ack, self._ack, ack)

    async def _set_aside(self, batch: list[Record], exc: RequestRefused) -> None:
        """Dead-letter the records that the backend refuses; the others go on."""
        refused = {index for index, _ in exc.rejected if index < len(batch)}
        if not refused and len(batch) > 1:
            self._singly = len(batch)
            return
        for index in sorted(refused or {0}, reverse=True):
            await self._replace(batch[index], exc)

    async def _replace(self, record: Record, exc: RequestRefused) -> None:
        """Put a ``lost`` event in the place of a refused one, or nothing if that was refused."""
        at = self._progress.pending.index(record)
        if record.stands_in:
            del self._progress.pending[at]
            self._singly = max(0, self._singly - 1)
            log.error("the place of a lost event is taken: the backend keeps what it has",
                      extra={"layer": "backend", "writer_id": self.writer_id,
                             "ordinal": record.ordinal, "code": exc.code})  # fmt: skip
            return
        await asyncio.to_thread(self._dead_letter, record, exc)
        self._progress.pending[at] = self._reader.stand_in(record, "dead_letter")

    def _dead_letter(self, record: Record, exc: RequestRefused) -> None:
        letter = Letter(
            writer_id=self.writer_id,
            conversation_id=self._conversation_id,
            fence=self._fence,
            ordinal=record.ordinal,
            status=exc.status,
            code=exc.code,
            at=instant(self._clock.now()),
            event=event_as_json(record.data),
        )
        if not self._letters.add(letter):
            return
        self._progress.dead_count += 1
        log.error(
            "event was refused and dead-lettered: see 'agent.py relay dead list'",
            extra={"layer": "backend", "writer_id": self.writer_id, "ordinal": record.ordinal,
                   "status": exc.status, "code": exc.code},
        )  # fmt: skip

    async def _introduce(self, header: Header) -> ConversationId:
        """Resolve the conversation and register the writer, once per life of the relay."""
        if self._conversation_id is not None:
            return self._conversation_id
        conversation_id = self._reader.conversation_id
        if conversation_id is None:
            found = await self._backend.resolve_conversation(
                header.key or self.writer_id, max_gap_s=header.max_gap_s
            )
            conversation_id = found.conversation_id
        grant = await self._backend.register_writer(
            conversation_id,
            Registration(
                writer_id=self.writer_id,
                started_at=header.started_at,
                kind=header.kind,
                room=header.room,
                job_id=header.job_id,
                fence=header.fence,
            ),
        )
        self._fence = grant.fence
        self._conversation_id = conversation_id
        return conversation_id

    async def _settle(self, header: Header) -> None:
        """Everything is delivered and the writer is gone: record the end, remove the file."""
        await self._share(is_dead=True)
        ended = self._reader.ended
        conversation_id = await self._introduce(header)
        await self._backend.end_writer(
            conversation_id,
            self.writer_id,
            reason=ended.reason if ended else DIED,
            at=ended.at if ended else instant(self._clock.now()),
            last_ordinal=ended.last_ordinal if ended else self._reader.last_ordinal,
            usage=ended.usage if ended else None,
        )
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        self._reader.path.unlink(missing_ok=True)
        self._ack.unlink(missing_ok=True)
        self.close()

    async def _give_up_headless(self) -> None:
        """A file without a header belongs to nobody."""
        await asyncio.to_thread(self._reader.quarantine_whole)
        self._progress.pending.clear()
        self._progress.lost_count += 1
        self.close()


def _batch_of(pending: list[Record], most: int) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in pending[:most]:
        size += len(record.data)
        if batch and size > BATCH_BYTES:
            break
        batch.append(record)
    return batch
