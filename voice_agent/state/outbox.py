"""The outbox: the write-ahead log of one job process, on the pod's disk.

An event is in it before anything else of ours sees it; it leaves it only when the backend has
acknowledged it. One append-only file per job process (sharing one between processes costs 6 times
as much: docs/adr/0002), held by a file lock for as long as the process lives: the relay
knows by the lock, not by a guess, whether a writer is dead.

If the file is lost (its volume went with the pod) what the backend did not have yet is lost;
docs/state-ownership.md says how much that can be.
"""

import asyncio
import errno
import fcntl
import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import NewerFormat, OutboxFull, UnreadableRecord
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.domain.usage import Usage
from voice_agent.state import frames
from voice_agent.state.acks import LOOK_S, AckWatch, ack_of
from voice_agent.state.frames import FrameType
from voice_agent.state.sync import GroupSync

log = logging.getLogger(__name__)

SUFFIX = ".outbox"
FRESH_SUFFIX = ".fresh"
"""A file on its way to its name. What a dead process left of one is adopted by the relay."""
DOORBELL = "relay.sock"
HEADER_VERSION = 1
COPY_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOENT, errno.EIO}


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first record: all the relay needs to deliver for a job that has died.

    ``conversation_id`` is None while the backend has not named the conversation: then ``key`` is
    what to resolve it by. ``fence`` is the one claimed or granted at the start: without it the
    relay could register a later writer first, and turn the order round. ``started_at`` RFC 3339.
    """

    writer_id: str
    started_at: str
    fence: int
    v: int = HEADER_VERSION
    kind: str = "call"
    conversation_id: str | None = None
    key: str | None = None
    max_gap_s: float | None = None
    room: str | None = None
    job_id: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of a call that ended by itself. ``usage``: what no event has said yet."""

    reason: str
    at: str
    last_ordinal: int
    v: int = 1
    usage: tuple[Usage, ...] | None = None


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The backend named the conversation after the file was begun."""

    conversation_id: str
    v: int = 1


class Durability(StrEnum):
    """What a reply waits for, beyond the ``write()`` that survives the death of the process."""

    PROCESS = "process"
    POWER = "power"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the outboxes are, and how safe a record must be before a reply to it is spoken."""

    folder: Path
    durability: Durability = Durability.PROCESS

    def file_of(self, writer_id: WriterId) -> Path:
        """The outbox of one writer."""
        return self.folder / f"{writer_id}{SUFFIX}"


class Outbox:
    """The open outbox of this process. Not for threads: one writer, one loop."""

    def __init__(self, placement: Placement, header: Header) -> None:
        self._placement = placement
        self._header = header
        self._name = header.writer_id.encode()
        self._path = placement.file_of(WriterId(header.writer_id))
        self._fd = -1
        self._orphan = -1
        self._size = 0
        self._ordinal = 0
        self._is_elsewhere = False
        self._bell: socket.socket | None = None
        self._bell_at = ""
        self._sync = GroupSync() if placement.durability is Durability.POWER else None
        self.appended_count = 0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Create the file, lock it and write its header.

        Raises:
            OutboxFull: the folder cannot be written: the call must go on without an outbox.
        """
        try:
            self._create()
        except OSError as exc:
            raise OutboxFull(reason=exc.strerror or "cannot open") from exc
        if self._bell is None:
            self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._bell_at = short_socket_path(self._placement.folder / DOORBELL)

    @property
    def durability(self) -> Durability:
        """What ``secured`` waits for."""
        return self._placement.durability

    def append(self, ordinal: int, data: bytes) -> None:
        """Write one event. When this returns it survives the death of the process.

        Raises:
            OutboxFull: nothing was written; the record may be offered again later.
        """
        self._write(frames.pack(FrameType.EVENT, ordinal, data))
        self._ordinal = ordinal
        self.appended_count += 1
        if self._sync is not None:
            self._sync.wrote(self._fd, ordinal)

    def bind(self, conversation_id: ConversationId) -> None:
        """Note the conversation that the backend resolved after the call had begun."""
        bound = Bound(conversation_id=conversation_id)
        self._write(frames.pack(FrameType.BOUND, 0, msgspec.json.encode(bound)))

    def end(
        self,
        *,
        reason: str,
        at: str,
        last_ordinal: int,
        usage: tuple[Usage, ...] | None = None,
    ) -> None:
        """Note that the call is over. Without this the relay says that the agent died."""
        ended = Ended(reason=reason, at=at, last_ordinal=last_ordinal, usage=usage)
        self._write(frames.pack(FrameType.ENDED, 0, msgspec.json.encode(ended)))

    def ring(self) -> None:
        """Tell the relay that there is something. Losing this costs it one slow look."""
        if self._bell is None:
            return
        try:
            self._bell.sendto(self._name, self._bell_at)
        except OSError:  # no relay just now: it looks for itself when it is back; or no folder
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:
                self._is_elsewhere = True
                with suppress(OutboxFull):  # the next record says so
                    self._write(b"")

    async def secured(self, ordinal: int, *, clock: Clock) -> None:
        """Wait until record ``ordinal`` is as safe as the durability asks. The caller sets the
        deadline; cancelling leaves nothing behind.

        Raises:
            LayerUnavailable: the disk failed to sync it.
        """
        while self._ordinal < ordinal:  # it waits in memory for a disk that is full
            await clock.sleep(LOOK_S)
        if self._sync is not None:
            await self._sync.synced(ordinal)
        elif self._placement.durability is Durability.ACKNOWLEDGED:
            await AckWatch(self._path, clock=clock).reached(ordinal, file=self._inode)

    async def look(self) -> None:
        """Check that the file is still where the relay looks for it; write it anew if not.

        ``ring`` notices at once when the whole folder is gone; this also sees a file that was
        deleted alone or moved away, and all of it while nobody speaks.

        Raises:
            OutboxFull: it cannot be written anew just now.
        """
        if self._fd < 0:
            return
        self._is_elsewhere = not await asyncio.to_thread(self._is_in_place)
        if self._is_elsewhere and self._fd >= 0:
            self._write(b"")
            self.ring()

    def close(self) -> None:
        """Release the lock; the relay then delivers what is left. May be repeated."""
        for fd in (self._orphan, self._fd):
            if fd >= 0:
                self._let_go(fd)
        self._orphan = self._fd = -1
        if self._sync is not None:
            self._sync.stop()
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _write(self, frame: bytes) -> None:
        """Append one frame to a file that is in its place, whole or not at all."""
        if self._fd < 0:
            self.open()  # the folder could not be written when the call began: perhaps now
        elif self._is_elsewhere:
            self._restore()
        try:
            written = os.write(self._fd, frame)
        except OSError as exc:
            if exc.errno not in _FULL:
                raise
            raise OutboxFull(reason=exc.strerror or "write failed") from exc
        if written != len(frame):
            os.ftruncate(self._fd, self._size)  # a torn record must not stay before the next one
            raise OutboxFull(reason="no space left on device")
        self._size += written

    @property
    def _inode(self) -> int:
        return os.fstat(self._fd).st_ino if self._fd >= 0 else 0

    def _is_in_place(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # nobody knows: an outage of the disk is not a deletion

    def _restore(self) -> None:
        """Somebody deleted the file: write it anew, with all that the deleted one still holds."""
        self._orphan, self._fd = self._fd, -1
        self.open()

    def _create(self) -> None:
        """Make the file under another name first: under its own it is always locked and whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(FRESH_SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(fresh, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = self._fill(fd)
            ack_of(self._path).unlink(missing_ok=True)  # it was about another file
            fresh.rename(self._path)
        except (OSError, OutboxFull):
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        self._fd = fd
        self._is_elsewhere = False
        if self._orphan >= 0:
            self._let_go(self._orphan)  # only now: the relay then finds the new file in its place
            self._orphan = -1
            log.error(
                "outbox file was deleted in mid-call and was written anew: keep other programs out"
                " of VOICE_OUTBOX__FOLDER",
                extra={"layer": "outbox", "writer_id": self._header.writer_id, "bytes": self._size},
            )
        if self._sync is not None:
            self._sync.start()
            self._sync.wrote(fd, self._ordinal)
            self._sync.created(self._placement.folder)

    def _fill(self, fd: int) -> int:
        """Write what a new file begins with; return its size (bytes)."""
        size = self._copy_orphan(fd) if self._orphan >= 0 else 0
        if size == 0:
            header = frames.pack(FrameType.HEADER, 0, msgspec.json.encode(self._header))
            size = _write_whole(fd, header)
        return size

    def _copy_orphan(self, fd: int) -> int:
        """Copy what the deleted file holds; return its size. What cannot be read is said."""
        size = 0
        try:
            while data := os.pread(self._orphan, COPY_BYTES, size):
                size += _write_whole(fd, data)
        except OSError as exc:
            log.error(
                "the deleted outbox file cannot be read back: what was not delivered is lost",
                extra={"layer": "outbox", "writer_id": self._header.writer_id,
                       "bytes": size, "reason": exc.strerror},
            )  # fmt: skip
        return size

    def _let_go(self, fd: int) -> None:
        if self._sync is not None:
            self._sync.close_file(fd)
        else:
            os.close(fd)


def _write_whole(fd: int, data: bytes) -> int:
    """Write all of it; return its length (bytes)."""
    try:
        written = os.write(fd, data)
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        raise OutboxFull(reason=exc.strerror or "write failed") from exc
    if written != len(data):
        raise OutboxFull(reason="no space left on device")
    return written


def short_socket_path(path: Path) -> str:
    """A name for a socket whose path may be longer than the 107 bytes that AF_UNIX allows.

    On Linux a path through /proc/self/fd is short whatever the folder is called; the descriptor
    stays open for the life of the process.
    """
    if len(os.fsencode(path)) <= 100:
        return str(path)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{path.name}"


def header_of(payload: bytes, *, source: str) -> Header:
    """Read the header of a file, of any version.

    Raises:
        NewerFormat: written by a later program: leave it to that program.
        UnreadableRecord: no header.
    """
    try:
        header = msgspec.json.decode(payload, type=Header)
    except msgspec.MsgspecError as exc:
        raise UnreadableRecord(source=source, offset=0, reason=str(exc)) from exc
    if header.v > HEADER_VERSION:
        raise NewerFormat(source=source, version=header.v)
    return header
