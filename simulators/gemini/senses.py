"""Ears and voices for the stand-in: real ones for a demo, simple ones for tests in real rooms."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from weakref import WeakKeyDictionary

from simulators import ear
from simulators.gemini.connection import Connection

IN_RATE = 16_000
OUT_RATE = 24_000
PAUSE_S = 0.5
"""Silence that ends an utterance."""
BEFORE_S = 0.2
"""Kept from before the first loud 10 ms: words begin softly."""

Understand = Callable[[bytes], Awaitable[str]]


class Listening:
    """Cuts the sound of a connection into utterances and has them understood."""

    def __init__(self, understand: Understand) -> None:
        self._understand = understand
        self._heard: WeakKeyDictionary[Connection, bytearray] = WeakKeyDictionary()

    async def __call__(self, connection: Connection, pcm: bytes) -> None:
        """Take the next sound of a connection."""
        heard = self._heard.setdefault(connection, bytearray())
        heard += pcm
        loud = [
            n for n, rms in enumerate(ear.loudness(bytes(heard), rate=IN_RATE)) if rms > ear.LOUD
        ]
        if not loud:
            del heard[: -int(BEFORE_S * IN_RATE) * 2]
            return
        if len(heard) / 2 / IN_RATE - loud[-1] / 100 < PAUSE_S:
            return
        utterance = bytes(heard)
        heard.clear()
        if text := await self._understand(utterance):
            await connection.hear(text, is_last=True)


def scripted(texts: Sequence[str]) -> Understand:
    """Understand the n-th utterance as the n-th text, whatever was said."""
    left = list(texts)

    async def understand(_: bytes) -> str:
        return left.pop(0) if left else ""

    return understand


async def recognised(pcm: bytes) -> str:
    """Understand English (Moonshine)."""
    return await ear.recognise(pcm, rate=IN_RATE)


async def beeps(text: str) -> AsyncIterator[tuple[str, bytes]]:
    """Speak each word as a tone of a fifth of a second: loud enough to be heard in a room."""
    tone = struct.pack(
        f"<{OUT_RATE // 5}h",
        *(int(6000 * math.sin(n * 2 * math.pi * 440 / OUT_RATE)) for n in range(OUT_RATE // 5)),
    )
    for word in text.split():
        yield word, tone
        await asyncio.sleep(0)
