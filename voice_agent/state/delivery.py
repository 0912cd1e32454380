"""Bringing one outbox file to the backend, in order, batched, and not more than once.

One ``Delivery`` per file. The file says all that is needed, so it works the same for a live job, a
dead one, and one whose call began while the backend was away.
"""

import asyncio
import fcntl
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import RequestRefused, UnreadableRecord
from voice_agent.domain.events import Event, Lost
from voice_agent.domain.ids import ConversationId, EventId, WriterId
from voice_agent.state import frames
from voice_agent.state.codec import encode_event, instant
from voice_agent.state.frames import Damage, Frame, FrameType
from voice_agent.state.outbox import Bound, Ended, Header, header_of
from voice_agent.state.ports import Backend, Registration

log = logging.getLogger(__name__)

BATCH_EVENTS = 50
"""docs/adr/0008: batches of 50 reach the database's own rate."""
BATCH_BYTES = 512 * 1024
READ_BYTES = 4 << 20
DIED = "agent_died"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event to deliver, and where its bytes end in the file."""

    ordinal: int
    data: bytes
    end: int


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a delivery has done so far, for the relay's metrics."""

    delivered_count: int = 0
    lost_count: int = 0
    dead_count: int = 0
    pending: list[Record] = field(default_factory=list)


class Delivery:
    """The delivery of one outbox file. ``step`` until it answers True: settled, file gone."""

    def __init__(self, path: Path, *, backend: Backend, clock: Clock, progress: Progress) -> None:
        self.path = path
        self.header: Header | None = None
        self._backend = backend
        self._clock = clock
        self._progress = progress
        self._ack = path.with_suffix(".ack")
        self._fd = -1
        self._offset = 0
        self._acked = 0
        self._last_ordinal = 0
        self._ended: Ended | None = None
        self._conversation_id: ConversationId | None = None
        self._registered = False

    @property
    def writer_id(self) -> WriterId:
        """The writer whose file this is; its name says so even if its header is damaged."""
        return WriterId(self.path.stem)

    @property
    def idle(self) -> bool:
        """Nothing read is waiting to be delivered."""
        return not self._progress.pending

    def open(self) -> None:
        """Open the file and find the place that was acknowledged last. Blocking: use a thread."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._acked = int(self._ack.read_text())
        except (OSError, ValueError):
            self._acked = 0  # delivering an event twice is harmless

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def step(self) -> bool:
        """Deliver what there is; say whether the file is settled and gone.

        Raises:
            LayerUnavailable: the backend is away; what was not acknowledged is still pending.
            RequestRefused: the backend will not have this writer at all (see ``relay``).
        """
        dead = await asyncio.to_thread(self._writer_is_dead)
        await asyncio.to_thread(self._read_on, dead)
        while self._progress.pending:
            await self._send_batch()
        if not dead:
            return False
        await self._settle()
        return True

    def _writer_is_dead(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True  # the lock stays ours: nobody else settles this file

    def _read_on(self, dead: bool) -> None:
        """Read what was added. A dead writer's torn last record is damage, not a beginning."""
        while data := os.pread(self._fd, READ_BYTES, self._offset):
            before = self._offset
            self._take_in(data, final=dead and len(data) < READ_BYTES)
            if self._offset == before:
                break

    def _take_in(self, data: bytes, *, final: bool) -> None:
        base = self._offset
        for item in frames.read(data, base=base, final=final):
            self._offset = item.end
            if isinstance(item, Frame):
                self._take(item)
            elif item.end > self._acked:
                self._quarantine(item, data[item.offset - base : item.end - base])

    def _take(self, frame: Frame) -> None:
        match frame.type:
            case FrameType.HEADER if self.header is None:
                self.header = header_of(frame.payload, source=self.path.name)
                if self.header.conversation_id:
                    self._conversation_id = ConversationId(self.header.conversation_id)
            case FrameType.BOUND:
                bound = msgspec.json.decode(frame.payload, type=Bound)
                self._conversation_id = ConversationId(bound.conversation_id)
            case FrameType.ENDED:
                self._ended = msgspec.json.decode(frame.payload, type=Ended)
            case FrameType.EVENT:
                self._last_ordinal = max(self._last_ordinal, frame.ordinal)
                if frame.end > self._acked:
                    self._progress.pending.append(
                        Record(ordinal=frame.ordinal, data=frame.payload, end=frame.end)
                    )
            case _:
                pass  # a type from a later version: it has no event of ours

    def _quarantine(self, damage: Damage, raw: bytes) -> None:
        """Keep the damaged bytes for a person, and put a ``lost`` event in their place."""
        folder = self.path.parent / "quarantine"
        folder.mkdir(exist_ok=True)
        (folder / f"{self.path.stem}-{damage.offset}.bin").write_bytes(raw)
        self._progress.lost_count += 1
        log.error(
            "outbox record is damaged and was quarantined",
            extra={"layer": "outbox", "writer_id": self.writer_id, "offset": damage.offset,
                   "bytes": len(raw), "ordinal": damage.ordinal},
        )  # fmt: skip
        if damage.ordinal is not None:
            self._progress.pending.append(self._lost(damage.ordinal, damage.end, "quarantined"))

    def _lost(self, ordinal: int, end: int, reason: str) -> Record:
        event = Event(
            event_id=EventId(f"lost-{ordinal}-{self.writer_id}"[:64]),
            ordinal=ordinal,
            at=self._clock.now(),
            body=Lost(reason=reason),
        )
        return Record(ordinal=ordinal, data=encode_event(event), end=end)

    async def _send_batch(self) -> None:
        batch = _batch_of(self._progress.pending)
        conversation_id = await self._introduce()
        try:
            await self._backend.store_events(
                conversation_id, self.writer_id, [record.data for record in batch]
            )
        except RequestRefused as exc:
            await self._set_aside(conversation_id, batch, exc)
            return
        await self._acknowledge(batch)

    async def _acknowledge(self, batch: list[Record]) -> None:
        del self._progress.pending[: len(batch)]
        self._progress.delivered_count += len(batch)
        self._acked = batch[-1].end
        await asyncio.to_thread(self._ack.write_text, str(self._acked))

    async def _introduce(self) -> ConversationId:
        """Resolve the conversation and register the writer, once per life of the relay."""
        header = self.header
        if header is None:
            raise UnreadableRecord(source=self.path.name, offset=0, reason="no header")
        if self._conversation_id is None:
            found = await self._backend.resolve_conversation(
                header.key or self.writer_id, max_gap_s=header.max_gap_s
            )
            self._conversation_id = found.conversation_id
        if not self._registered:
            await self._backend.register_writer(
                self._conversation_id,
                Registration(
                    writer_id=self.writer_id,
                    started_at=header.started_at,
                    kind=header.kind,
                    room=header.room,
                    job_id=header.job_id,
                    fence=header.fence,
                ),
            )
            self._registered = True
        return self._conversation_id

    async def _set_aside(
        self, conversation_id: ConversationId, batch: list[Record], exc: RequestRefused
    ) -> None:
        """Dead-letter the records that the backend refuses; the others go on.

        A refusal that names no record concerns the writer or the token, not the events: it is
        raised, and nothing is set aside.
        """
        if exc.status in {401, 403, 404}:
            raise exc
        refused = {index for index, _ in exc.rejected if index < len(batch)}
        if not refused and len(batch) > 1:
            for record in batch:  # find the culprit: one by one
                await self._send_alone(conversation_id, record)
            return
        for index in refused or {0}:
            record = batch[index]
            await asyncio.to_thread(self._dead_letter, record, exc)
            at = self._progress.pending.index(record)
            self._progress.pending[at] = self._lost(record.ordinal, record.end, "dead_letter")

    async def _send_alone(self, conversation_id: ConversationId, record: Record) -> None:
        try:
            await self._backend.store_events(conversation_id, self.writer_id, [record.data])
        except RequestRefused as exc:
            if exc.status in {401, 403, 404}:
                raise
            await asyncio.to_thread(self._dead_letter, record, exc)
            lost = self._lost(record.ordinal, record.end, "dead_letter")
            await self._backend.store_events(conversation_id, self.writer_id, [lost.data])
        await self._acknowledge([record])

    def _dead_letter(self, record: Record, exc: RequestRefused) -> None:
        folder = self.path.parent / "dead"
        folder.mkdir(exist_ok=True)
        letter = {
            "v": 1,
            "writer_id": self.writer_id,
            "conversation_id": self._conversation_id,
            "ordinal": record.ordinal,
            "status": exc.status,
            "code": exc.code,
            "at": instant(self._clock.now()),
            "event": msgspec.Raw(record.data),
        }
        with (folder / f"{self.writer_id}.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(letter) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._progress.dead_count += 1
        log.error(
            "event was refused and dead-lettered: see 'agent.py relay dead'",
            extra={"layer": "backend", "writer_id": self.writer_id, "ordinal": record.ordinal,
                   "status": exc.status, "code": exc.code},
        )  # fmt: skip

    async def _settle(self) -> None:
        """Everything is delivered and the writer is gone: record the end, remove the file."""
        if self.header is None:
            await asyncio.to_thread(self._give_up_headless)
            return
        ended = self._ended
        conversation_id = await self._introduce()
        await self._backend.end_writer(
            conversation_id,
            self.writer_id,
            reason=ended.reason if ended else DIED,
            at=ended.at if ended else instant(self._clock.now()),
            last_ordinal=ended.last_ordinal if ended else self._last_ordinal,
        )
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._ack.unlink(missing_ok=True)
        self.close()

    def _give_up_headless(self) -> None:
        """A file without a header belongs to nobody: keep it for a person to look at."""
        folder = self.path.parent / "quarantine"
        folder.mkdir(exist_ok=True)
        self.path.rename(folder / self.path.name)
        self._progress.lost_count += 1
        log.error(
            "outbox has no readable header and was quarantined",
            extra={"layer": "outbox", "writer_id": self.writer_id},
        )
        self.close()


def _batch_of(pending: list[Record]) -> list[Record]:
    batch: list[Record] = []
    size = 0
    for record in pending[:BATCH_EVENTS]:
        size += len(record.data)
        if batch and size > BATCH_BYTES:
            break
        batch.append(record)
    return batch
