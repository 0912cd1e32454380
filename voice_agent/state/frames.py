"""Records in a file: framed and checksummed, so that damage stays where it is.

A file is a run of frames. A frame is 20 bytes of head and its payload:

    magic 2 B 'TL' | version 1 B | type 1 B | ordinal 8 B | length 4 B | crc32 4 B | payload

(little-endian; the crc covers the first 16 bytes and the payload). The ordinal is in the head so
that a damaged event can still be named. A reader that meets damage looks for the next frame whose
checksum is right; what lies between is quarantined.

Sealed payloads (a later version): the high bit of ``type`` says that the payload is encrypted. The
seam is here: every frame is made by ``pack`` and read by ``read``, so sealing is a function of
(type, ordinal, payload) before the one and its inverse behind the other; the head stays in clear,
so that damage and order can still be told. Who meets a sealed frame without the key leaves the
whole file alone (``Frame.is_foreign``).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"TL"
VERSION = 1
SEALED = 0x80
"""The bit of ``type`` that says: the payload is encrypted."""
_HEAD = struct.Struct("<2sBBQII")
HEAD_BYTES = _HEAD.size
MAX_PAYLOAD_BYTES = 1 << 20


class FrameType(IntEnum):
    """What a frame holds."""

    HEADER = 1
    EVENT = 2
    BOUND = 3
    ENDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A readable record. ``end`` is the offset (bytes) behind it."""

    version: int = VERSION
    type: int
    ordinal: int
    payload: bytes
    offset: int
    end: int

    @property
    def is_foreign(self) -> bool:
        """Written by a later program, or sealed: whoever skips it may throw words away."""
        return self.version > VERSION or self.type not in _KNOWN


_KNOWN = frozenset(FrameType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes between two offsets that are no record; ``ordinal`` if its head can be read."""

    offset: int
    end: int
    ordinal: int | None


def pack(type_: FrameType, ordinal: int, payload: bytes) -> bytes:
    """Make one frame. Payloads over 1 MiB are refused by ValueError (a bug: events are 256 KiB)."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes")
    start = _HEAD.pack(MAGIC, VERSION, type_, ordinal, len(payload), 0)[:16]
    crc = zlib.crc32(payload, zlib.crc32(start))
    return b"".join((start, crc.to_bytes(4, "little"), payload))


def read(data: bytes, *, base: int = 0, final: bool = False) -> Iterator[Frame | Damage]:
    """Yield what a stretch of a file holds, in order.

    An unfinished frame at the end is left for the next reading, unless ``final``: then nobody
    writes any more and it is damage (a torn write).

    Args:
        data: bytes that begin at a frame border.
        base: the offset of ``data`` in its file.
        final: whether the file will not grow.
    """
    at = 0
    while at < len(data):
        frame = _frame_at(data, at, base)
        if frame is not None:
            yield frame
            at = frame.end - base
            continue
        follows = _next_frame(data, at + 1, base)
        if follows is None and not final:
            return
        end = follows if follows is not None else len(data)
        yield Damage(offset=base + at, end=base + end, ordinal=_named(data, at))
        at = end


def _frame_at(data: bytes, at: int, base: int) -> Frame | None:
    if len(data) - at < HEAD_BYTES:
        return None
    magic, version, type_, ordinal, length, crc = _HEAD.unpack_from(data, at)
    end = at + HEAD_BYTES + length
    if magic != MAGIC or length > MAX_PAYLOAD_BYTES or end > len(data):
        return None
    payload = data[at + HEAD_BYTES : end]
    if zlib.crc32(payload, zlib.crc32(data[at : at + 16])) != crc:
        return None
    return Frame(
        version=version,
        type=type_,
        ordinal=ordinal,
        payload=payload,
        offset=base + at,
        end=base + end,
    )


def _next_frame(data: bytes, start: int, base: int) -> int | None:
    at = data.find(MAGIC, start)
    while at != -1:
        if _frame_at(data, at, base) is not None:
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _named(data: bytes, at: int) -> int | None:
    """The ordinal of a damaged event, if its head looks whole. A guess: its checksum is wrong."""
    if len(data) - at < HEAD_BYTES:
        return None
    magic, version, type_, ordinal, length, _crc = _HEAD.unpack_from(data, at)
    whole = magic == MAGIC and version == VERSION and type_ == FrameType.EVENT
    return ordinal if whole and length <= MAX_PAYLOAD_BYTES and ordinal > 0 else None
