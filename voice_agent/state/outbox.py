"""The outbox: the write-ahead log of one job process, on the pod's disk.

An event is in it before anything else of ours sees it; it leaves it only when the backend has
acknowledged it. One append-only file per job process (sharing one between processes costs 6 times
as much: docs/adr/0002), held by a file lock for as long as the process lives: the relay
knows by the lock, not by a guess, whether a writer is dead.

If the file is lost (its volume went with the pod) what the backend did not have yet is lost;
docs/state-ownership.md says how much that can be.
"""

import errno
import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from voice_agent.domain.errors import NewerFormat, OutboxFull, UnreadableRecord
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state import frames
from voice_agent.state.frames import FrameType

SUFFIX = ".outbox"
DOORBELL = "relay.sock"
HEADER_VERSION = 1
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
    """The last record of a call that ended by itself."""

    reason: str
    at: str
    last_ordinal: int
    v: int = 1


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The backend named the conversation after the file was begun."""

    conversation_id: str
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the outboxes are, and who is told of new records."""

    folder: Path

    def file_of(self, writer_id: WriterId) -> Path:
        """The outbox of one writer."""
        return self.folder / f"{writer_id}{SUFFIX}"


class Outbox:
    """The open outbox of this process. Not for threads: one writer, one loop."""

    def __init__(self, placement: Placement, header: Header) -> None:
        self._placement = placement
        self._header = header
        self._fd = -1
        self._size = 0
        self._bell: socket.socket | None = None
        self._bell_at = ""
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
        path = self._placement.file_of(WriterId(self._header.writer_id))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise OutboxFull(reason=exc.strerror or "cannot open") from exc
        self._size = os.fstat(self._fd).st_size
        if self._size == 0:
            self._write(frames.pack(FrameType.HEADER, 0, msgspec.json.encode(self._header)))
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._bell_at = short_socket_path(self._placement.folder / DOORBELL)

    def append(self, ordinal: int, data: bytes) -> None:
        """Write one event. When this returns it survives the death of the process.

        Raises:
            OutboxFull: nothing was written; the record may be offered again later.
        """
        self._write(frames.pack(FrameType.EVENT, ordinal, data))
        self.appended_count += 1

    def bind(self, conversation_id: ConversationId) -> None:
        """Note the conversation that the backend resolved after the call had begun."""
        bound = Bound(conversation_id=conversation_id)
        self._write(frames.pack(FrameType.BOUND, 0, msgspec.json.encode(bound)))

    def end(self, *, reason: str, at: str, last_ordinal: int) -> None:
        """Note that the call is over. Without this the relay says that the agent died."""
        ended = Ended(reason=reason, at=at, last_ordinal=last_ordinal)
        self._write(frames.pack(FrameType.ENDED, 0, msgspec.json.encode(ended)))

    def ring(self) -> None:
        """Tell the relay that there is something. Losing this costs it one slow look."""
        if self._bell is None:
            return
        try:
            self._bell.sendto(self._header.writer_id.encode(), self._bell_at)
        except OSError:
            return  # no relay just now: it looks for itself when it is back

    def sync(self) -> None:
        """Bring everything written so far to the disk itself (blocks: call it from a thread)."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Release the lock; the relay then delivers what is left. May be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _write(self, frame: bytes) -> None:
        if self._fd < 0:
            self.open()  # the folder could not be written when the call began: perhaps now
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
