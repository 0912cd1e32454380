"""What a caller hears: the agent's audio with the time of each 10 ms, and when it was loud."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from livekit import rtc

from . import ear

RATE = 16_000
_QUIET_S = 0.8  # longer than the pauses inside a reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One reply as it arrived: loop times of its first and last loud 10 ms, and its words."""

    began_at: float
    ended_at: float
    words: str
    pcm: bytes

    @property
    def duration_s(self) -> float:
        """From its first to its last sound."""
        return self.ended_at - self.began_at


@dataclass(frozen=True, slots=True)
class _Frame:
    at: float
    loud: bool
    pcm: bytes


class Hearing:
    """Records tracks, one after the other or together, in the order of arrival."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._changed = asyncio.Condition()

    async def listen(self, track: rtc.Track) -> None:
        """Record ``track`` until it ends or this is cancelled."""
        loop = asyncio.get_running_loop()
        stream = rtc.AudioStream.from_track(
            track=track, sample_rate=RATE, num_channels=1, frame_size_ms=10
        )
        try:
            async for event in stream:
                pcm = bytes(event.frame.data)
                loud = max(ear.loudness(pcm, rate=RATE), default=0.0) > ear.LOUD
                self._frames.append(_Frame(loop.time(), loud, pcm))
                async with self._changed:
                    self._changed.notify_all()
        finally:
            await stream.aclose()

    async def began(self, *, after: float, timeout_s: float) -> float:
        """Wait for the first sound after loop time ``after``. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self._first_loud(after) is not None)
        first = self._first_loud(after)
        assert first is not None
        return first

    async def reply(self, *, after: float, timeout_s: float, quiet_s: float = _QUIET_S) -> Heard:
        """Wait until somebody has spoken after loop time ``after`` and fallen silent.

        Raises:
            TimeoutError: nothing was heard, or it did not end, within ``timeout_s`` seconds.
        """
        async with asyncio.timeout(timeout_s):
            began_at = await self.began(after=after, timeout_s=timeout_s)
            async with self._changed:
                await self._changed.wait_for(lambda: self._quiet_s() >= quiet_s)
        ended_at = self._last_loud()
        pcm = self.recording(began_at - 0.2, ended_at + 0.2)
        words = await ear.recognise(pcm, rate=RATE)
        return Heard(began_at=began_at, ended_at=ended_at, words=words, pcm=pcm)

    async def silent(self, *, quiet_s: float, timeout_s: float) -> float:
        """Wait for ``quiet_s`` seconds without a sound; return when the last sound was."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self._quiet_s() >= quiet_s)
        return self._last_loud()

    def recording(self, from_at: float = 0.0, to_at: float = float("inf")) -> bytes:
        """Return what arrived between two loop times as 16 kHz PCM."""
        return b"".join(frame.pcm for frame in self._frames if from_at <= frame.at <= to_at)

    def _first_loud(self, after: float) -> float | None:
        newest_first = reversed(self._frames)
        found = None
        for frame in newest_first:
            if frame.at <= after:
                break
            if frame.loud:
                found = frame.at
        return found

    def _last_loud(self) -> float:
        return next((frame.at for frame in reversed(self._frames) if frame.loud), 0.0)

    def _quiet_s(self) -> float:
        return self._frames[-1].at - self._last_loud() if self._frames else 0.0
