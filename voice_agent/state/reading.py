"""Reading an outbox file while it grows, for the relay.

Damage is kept in ``quarantine/`` beside the outboxes, and a ``lost`` event takes the place of each
damaged one whose ordinal can still be read. A file that holds what only a later program
understands is left to that program.
"""

import fcntl
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from voice_agent.domain.errors import CorruptStateError, NewerFormat
from voice_agent.domain.events import Event, Lost
from voice_agent.domain.ids import ConversationId, EventId, WriterId
from voice_agent.state import frames
from voice_agent.state.acks import Ack, ack_of, read_ack
from voice_agent.state.codec import encode_event
from voice_agent.state.frames import Damage, Frame, FrameType
from voice_agent.state.outbox import Bound, Ended, Header, header_of

log = logging.getLogger(__name__)

READ_BYTES = 4 << 20
QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event to deliver, and where its bytes end in the file.

    ``stands_in``: not what was recorded, but a ``lost`` event in its place.
    """

    ordinal: int
    data: bytes
    end: int
    stands_in: bool = False


@dataclass(slots=True, kw_only=True)
class Found:
    """What one reading found. ``more``: the file goes on."""

    records: list[Record] = field(default_factory=list)
    damaged: int = 0
    gaps: int = 0
    more: bool = False


class OutboxReader:
    """One outbox file from its beginning. Every method blocks: use a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.conversation_id: ConversationId | None = None
        self.ended: Ended | None = None
        self.last_ordinal = 0
        self._fd = -1
        self._inode = 0
        self._offset = 0
        self._acked = 0
        self._foreign: CorruptStateError | None = None

    @property
    def writer_id(self) -> WriterId:
        """The writer whose file this is; its name says so even if its header is damaged."""
        return WriterId(self.path.stem)

    @property
    def inode(self) -> int:
        """Which file this is: another one may get its name."""
        return self._inode

    def open(self) -> None:
        """Open the file and find the place that was acknowledged last."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._inode = os.fstat(self._fd).st_ino
        ack: Ack = read_ack(ack_of(self.path), file=self._inode)
        self._acked = ack.end

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def writer_is_dead(self) -> bool:
        """Whether the writer's lock is gone. Then the lock is ours: nobody else settles it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_replaced(self) -> bool:
        """Whether another file has this one's name (the writer wrote it anew)."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False

    def read(self, *, dead: bool) -> Found:
        """Read what was added, at most ``READ_BYTES`` of it.

        Raises:
            NewerFormat: what follows is for a later program. What came before was read already.
        """
        if self._foreign is not None:
            raise self._foreign
        found = Found()
        data = os.pread(self._fd, READ_BYTES, self._offset)
        before = self._offset
        self._take_in(data, found, final=dead and len(data) < READ_BYTES)
        if dead and data and self._offset == before:
            self._take_in(data, found, final=True)  # nothing but damage, to the end of the reading
        found.more = self._offset > before and len(data) == READ_BYTES
        if self._foreign is not None and not found.records:
            raise self._foreign
        return found

    def events_after(self, ordinal: int) -> list[tuple[int, bytes]]:
        """Read again the events behind ``ordinal``, as far as the file was read."""
        data = os.pread(self._fd, self._offset, 0)
        return [
            (item.ordinal, item.payload)
            for item in frames.read(data)
            if isinstance(item, Frame)
            and item.type == FrameType.EVENT
            and not item.is_foreign
            and item.ordinal > ordinal
        ]

    def quarantine_whole(self) -> None:
        """Nobody can tell whose file this is: keep it for a person to look at."""
        self.path.rename(self._quarantine_folder() / self.path.name)
        self._say_damaged("outbox has no readable header and was quarantined")

    def stand_in(self, record: Record, reason: str) -> Record:
        """A ``lost`` event in the place of a record."""
        return self._lost(record.ordinal, record.end, reason)

    def _take_in(self, data: bytes, found: Found, *, final: bool) -> None:
        base = self._offset
        for item in frames.read(data, base=base, final=final):
            if isinstance(item, Damage):
                if item.end > self._acked:
                    self._quarantine(item, data[item.offset - base : item.end - base], found)
            elif not self._take(item, found):
                return
            self._offset = item.end

    def _take(self, frame: Frame, found: Found) -> bool:
        """Take one frame in; False when it is for a later program."""
        if frame.is_foreign:
            self._foreign = NewerFormat(source=self.path.name, version=frame.version)
            return False
        match frame.type:
            case FrameType.HEADER if self.header is None:
                return self._take_header(frame)
            case FrameType.BOUND:
                bound = msgspec.json.decode(frame.payload, type=Bound)
                self.conversation_id = ConversationId(bound.conversation_id)
            case FrameType.ENDED:
                self.ended = msgspec.json.decode(frame.payload, type=Ended)
            case FrameType.EVENT:
                self._note_gap(frame.ordinal, found)
                if frame.end > self._acked:
                    found.records.append(
                        Record(ordinal=frame.ordinal, data=frame.payload, end=frame.end)
                    )
        return True

    def _take_header(self, frame: Frame) -> bool:
        try:
            self.header = header_of(frame.payload, source=self.path.name)
        except NewerFormat as exc:
            self._foreign = exc
            return False
        if self.header.conversation_id:
            self.conversation_id = ConversationId(self.header.conversation_id)
        return True

    def _note_gap(self, ordinal: int, found: Found) -> None:
        """Ordinals that no record has: dropped while the disk was full, or gone with a file."""
        if ordinal > self.last_ordinal + 1:
            found.gaps += 1
            log.error(
                "outbox lacks records: they were never written or were deleted",
                extra={"layer": "outbox", "writer_id": self.writer_id,
                       "from": self.last_ordinal + 1, "to": ordinal - 1},
            )  # fmt: skip
        self.last_ordinal = max(self.last_ordinal, ordinal)

    def _quarantine(self, damage: Damage, raw: bytes, found: Found) -> None:
        """Keep the damaged bytes for a person, and put a ``lost`` event in their place."""
        name = f"{self.path.stem}-{damage.offset}.bin"
        (self._quarantine_folder() / name).write_bytes(raw)
        found.damaged += 1
        self._say_damaged(
            "outbox record is damaged and was quarantined",
            offset=damage.offset, bytes=len(raw), ordinal=damage.ordinal,
        )  # fmt: skip
        if damage.ordinal is not None:
            self._note_gap(damage.ordinal, found)
            found.records.append(self._lost(damage.ordinal, damage.end, "quarantined"))

    def _quarantine_folder(self) -> Path:
        folder = self.path.parent / QUARANTINE
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _say_damaged(self, what: str, **fields: object) -> None:
        log.error(what, extra={"layer": "outbox", "writer_id": self.writer_id, **fields})

    def _lost(self, ordinal: int, end: int, reason: str) -> Record:
        """The same record gives the same event, bit by bit, however often the relay dies.

        Nobody knows when the lost one happened, so its instant is the writer's start.
        """
        began = self.header.started_at if self.header else None
        at = datetime.fromisoformat(began) if began else datetime.fromtimestamp(0, UTC)
        event_id = EventId(f"lost-{ordinal}-{self.writer_id}"[:64])
        event = Event(event_id=event_id, ordinal=ordinal, at=at, body=Lost(reason=reason))
        return Record(ordinal=ordinal, data=encode_event(event), end=end, stands_in=True)
