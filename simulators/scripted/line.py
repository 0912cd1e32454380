"""The caller's line: a microphone that says nothing and a loudspeaker that plays when told."""

import asyncio

from livekit import rtc
from livekit.agents.voice import io

RATE = 16_000
FRAME_S = 0.02


def silence(duration_s: float = FRAME_S) -> rtc.AudioFrame:
    """A frame of silence: nobody listens, what is said comes from the script."""
    count = int(RATE * duration_s)
    return rtc.AudioFrame(
        data=bytes(2 * count), sample_rate=RATE, num_channels=1, samples_per_channel=count
    )


class ScriptedInput(io.AudioInput):
    """A microphone without audio; the session reads it until it lets go of it."""

    def __init__(self) -> None:
        super().__init__(label="scripted")
        self._never: asyncio.Future[rtc.AudioFrame] = asyncio.get_running_loop().create_future()

    async def __anext__(self) -> rtc.AudioFrame:
        """Wait for a frame that never comes."""
        return await asyncio.shield(self._never)


class ScriptedOutput(io.AudioOutput):
    """A loudspeaker. A reply begins to play with its first frame; ``plays_at_once``: and is over.

    Otherwise it plays until ``finish``, or until it is cleared: then ``heard`` is what the caller
    heard of its words.
    """

    def __init__(self, *, plays_at_once: bool = True) -> None:
        super().__init__(
            label="scripted",
            capabilities=io.AudioOutputCapabilities(pause=False),
            sample_rate=RATE,
        )
        self.plays_at_once = plays_at_once
        self.heard: str | None = None
        self._is_playing = False
        self._played_s = 0.0
        self._is_whole = False

    @property
    def is_playing(self) -> bool:
        """Whether the caller hears something."""
        return self._is_playing

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a frame of the reply."""
        await super().capture_frame(frame)
        self._played_s += frame.duration
        if not self._is_playing:
            self._is_playing, self._is_whole = True, False
            self.on_playback_started(created_at=0.0)

    def flush(self) -> None:
        """The reply is whole."""
        super().flush()
        self._is_whole = True
        if self.plays_at_once:
            self.finish()

    def finish(self) -> None:
        """The caller has heard it all."""
        if self._is_playing and self._is_whole:
            self._end(interrupted=False)

    def clear_buffer(self) -> None:
        """The reply is cut short."""
        if self._is_playing:
            self._end(interrupted=True)

    def _end(self, *, interrupted: bool) -> None:
        self._is_playing, played_s, self._played_s = False, self._played_s, 0.0
        self.on_playback_finished(
            playback_position=played_s,
            interrupted=interrupted,
            synchronized_transcript=self.heard if interrupted else None,
        )
