"""A microphone made of WAV files: silence all the time, speech when told to.

Frames of 10 ms leave in real time without a queue behind them, so the instant at which a sound was
handed to WebRTC is known to 10 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc

from . import ear

RATE = 48_000
_FRAME = RATE // 100
_SILENCE = bytes(2 * _FRAME)
_LATE_S = 0.2  # a pause of the process longer than this is not made up for


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One utterance as it left: loop times of its first and last loud 10 ms."""

    began_at: float
    ended_at: float


class Microphone:
    """Publish ``track``; speech is queued by ``say``."""

    def __init__(self) -> None:
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._began_at = 0.0
        self._ended_at = 0.0
        self._spoken = asyncio.Event()

    async def run(self) -> None:
        """Send frames until cancelled."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while True:
            now = loop.time()
            if now - next_at > _LATE_S:
                next_at = now
            if next_at > now:
                await asyncio.sleep(next_at - now)
            next_at += 0.01
            await self._send(loop)

    async def say(self, path: Path) -> Said:
        """Speak a WAV file; return when its last frame has left. One at a time."""
        pcm, rate = ear.read_wav(path)
        data = ear.resampled(pcm, rate, wanted_rate=RATE)
        loud = [rms > ear.LOUD for rms in ear.loudness(data, rate=RATE)]
        if not any(loud):
            raise ValueError(f"{path} holds no speech")
        step = 2 * _FRAME
        self._began_at = self._ended_at = 0.0
        self._spoken.clear()
        self._frames.extend(
            (data[n * step : (n + 1) * step], is_loud) for n, is_loud in enumerate(loud)
        )
        await self._spoken.wait()
        return Said(began_at=self._began_at, ended_at=self._ended_at)

    async def aclose(self) -> None:
        """Free the native source."""
        await self._source.aclose()

    async def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        data, is_loud = self._frames.popleft() if self._frames else (_SILENCE, False)
        await self._source.capture_frame(rtc.AudioFrame(data, RATE, 1, _FRAME))
        if is_loud:
            self._began_at = self._began_at or loop.time()
            self._ended_at = loop.time()
        if not self._frames:
            self._spoken.set()
