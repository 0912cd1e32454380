"""What a client and the speech server say to each other, version 1.

One connection carries one request. Closing it early cancels the request: a queued decode is
dropped, a synthesis stops after the chunk it is working on. Nothing is stored, so every request
may be repeated.

    client                                    server
    b"TLS" + version byte
    frame RECOGNISE | SYNTHESISE | STATUS
                                              frames TEXT | AUDIO ...
                                              frame END, or REFUSED; then it closes

A frame is its length (4 bytes, big-endian, counting what follows), one byte that names its kind,
and a body:

    RECOGNISE   1 byte urgency, then PCM: 16 kHz, mono, signed 16 bit, little-endian
    SYNTHESISE  4 bytes slack in ms (big-endian): how long the client has audio to play; UTF-8 text
    STATUS      empty
    TEXT        UTF-8: the words that were recognised, or the status as JSON
    AUDIO       4 bytes sample rate (big-endian), then PCM as above at that rate
    END         empty: the answer is complete
    REFUSED     UTF-8: why, in one line. ``busy``: the queue is full, try again; anything else:
                the same request will be refused again

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import asyncio
import struct
from enum import IntEnum
from typing import NamedTuple

VERSION = 1
PREAMBLE = b"TLS" + bytes([VERSION])
RECOGNITION_RATE = 16_000  # Hz, of the audio a client sends
MAX_FRAME_BYTES = 8 << 20  # four minutes of 16 kHz audio: more is a broken client
BUSY = "busy"

_HEAD = struct.Struct(">IB")
_NUMBER = struct.Struct(">I")


class Kind(IntEnum):
    """The kinds of frame."""

    RECOGNISE = 1
    SYNTHESISE = 2
    STATUS = 3
    TEXT = 16
    AUDIO = 17
    END = 18
    REFUSED = 19


class Urgency(IntEnum):
    """How soon a recognition is wanted; decides the order when requests wait."""

    NOW = 0  # the speaker has fallen silent
    SOON = 1  # words for the screen while the speaker goes on


class Frame(NamedTuple):
    """One frame as read."""

    kind: Kind
    body: bytes


class MalformedFrame(ValueError):
    """The other side does not speak this protocol: close the connection."""


def frame(kind: Kind, body: bytes = b"") -> bytes:
    """Encode one frame."""
    return _HEAD.pack(len(body) + 1, kind) + body


def recognise(pcm: bytes, *, urgency: Urgency) -> bytes:
    """Encode a request to recognise ``pcm``."""
    return frame(Kind.RECOGNISE, bytes([urgency]) + pcm)


def synthesise(text: str, *, slack_s: float) -> bytes:
    """Encode a request to speak ``text``, wanted within ``slack_s`` seconds."""
    return frame(Kind.SYNTHESISE, _NUMBER.pack(max(0, int(slack_s * 1000))) + text.encode())


def audio(pcm: bytes, *, rate: int) -> bytes:
    """Encode one chunk of an answer."""
    return frame(Kind.AUDIO, _NUMBER.pack(rate) + pcm)


def split_audio(body: bytes) -> tuple[int, bytes]:
    """Return the sample rate and the PCM of an AUDIO body."""
    if len(body) < _NUMBER.size:
        raise MalformedFrame("audio frame without a sample rate")
    return int(_NUMBER.unpack_from(body)[0]), body[_NUMBER.size :]


def split_synthesise(body: bytes) -> tuple[float, str]:
    """Return the slack in seconds and the text of a SYNTHESISE body."""
    if len(body) < _NUMBER.size:
        raise MalformedFrame("synthesis request without a slack")
    try:
        return _NUMBER.unpack_from(body)[0] / 1000, body[_NUMBER.size :].decode()
    except UnicodeDecodeError as exc:
        raise MalformedFrame("text is not UTF-8") from exc


def split_recognise(body: bytes) -> tuple[Urgency, bytes]:
    """Return the urgency and the PCM of a RECOGNISE body."""
    try:
        urgency = Urgency(body[0])
    except (IndexError, ValueError) as exc:
        raise MalformedFrame("recognition request without an urgency") from exc
    pcm = body[1:]
    if len(pcm) % 2:
        raise MalformedFrame("audio is not a whole number of 16 bit samples")
    return urgency, pcm


async def read_request(reader: asyncio.StreamReader) -> Frame:
    """Read the preamble and the one frame of a request. Raises as ``read_frame`` does."""
    if await reader.readexactly(len(PREAMBLE)) != PREAMBLE:
        raise MalformedFrame(f"this server speaks version {VERSION} of its protocol")
    return await read_frame(reader)


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Read one frame.

    Raises:
        MalformedFrame: not this protocol.
        asyncio.IncompleteReadError: the other side closed the connection.
    """
    length, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if not 1 <= length <= MAX_FRAME_BYTES:
        raise MalformedFrame(f"frame of {length} bytes")
    try:
        named = Kind(kind)
    except ValueError as exc:
        raise MalformedFrame(f"frame of unknown kind {kind}") from exc
    return Frame(named, await reader.readexactly(length - 1))
