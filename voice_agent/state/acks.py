"""How far the backend has acknowledged an outbox: a small file beside it, written by the relay.

The relay reads it when it starts, the job when a reply waits for the acknowledgement. If it is lost
or stale what was delivered is delivered again, which is harmless. It names the file it is about:
should the outbox be deleted and written anew, an old acknowledgement must not cover new records.
"""

import asyncio
import os
from pathlib import Path

import msgspec

from voice_agent.aio.clock import Clock

SUFFIX = ".ack"
VERSION = 2
"""Version 2, 2026-11: an object, padded. Version 1 was the offset alone, as a number in digits."""
LOOK_S = 0.01
"""How often a waiting reply looks: a fifth of the fastest delivery that was measured."""
_BYTES = 128


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """``end``: the offset behind the last acknowledged record; ``file``: the outbox's inode."""

    end: int = 0
    ordinal: int = 0
    file: int | None = None
    v: int = VERSION


NOTHING = Ack()


def ack_of(outbox: Path) -> Path:
    """The acknowledgement that belongs to an outbox."""
    return outbox.with_suffix(SUFFIX)


def read_ack(path: Path, *, file: int) -> Ack:
    """Read the acknowledgement of the outbox whose inode is ``file``. Blocking; never raises."""
    try:
        text = path.read_bytes().strip(b" \0\n")
        ack = Ack(end=int(text)) if text.isdigit() else msgspec.json.decode(text, type=Ack)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return NOTHING
    return ack if ack.file in {None, file} else NOTHING


def write_ack(path: Path, ack: Ack) -> None:
    """Write it down in one go: a reader sees the last or this one, never half. Blocking."""
    data = msgspec.json.encode(ack).ljust(_BYTES)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, data, 0)
    finally:
        os.close(fd)


class AckWatch:
    """Waits for the acknowledgement of one outbox, in the job that writes it."""

    def __init__(self, outbox: Path, *, clock: Clock) -> None:
        self._path = ack_of(outbox)
        self._clock = clock

    async def reached(self, ordinal: int, *, file: int) -> None:
        """Wait until the record ``ordinal`` is acknowledged. The caller sets the deadline."""
        while True:
            ack = await asyncio.to_thread(read_ack, self._path, file=file)
            if ack.ordinal >= ordinal:
                return
            await self._clock.sleep(LOOK_S)
