"""Sound, pictures and marks of activity, between the call and whatever connection there is.

Sound is bounded: the oldest goes first. What was sent and not acted on is kept for a while and sent
again on the next connection.
"""

from collections import deque
from dataclasses import dataclass, field

from google.genai import types

CHUNK_S = 0.05
"""The plugin cuts sound into chunks of 50 ms."""
MARKS_MAX = 16
"""Beginnings and ends of activity that wait; of more than these the oldest say nothing any more."""
KEPT_S = 20.0
"""A longer utterance than this is recovered from its transcript, not from its sound."""


@dataclass(slots=True)
class Outgoing:
    """Bounded queues of what is no part of the conversation's items."""

    away_audio_s: float
    _audio: deque[types.Blob] = field(default_factory=deque)
    _again: deque[types.Blob] = field(default_factory=deque)
    """Before ``_audio``: what was spoken meanwhile does not push it out."""
    _sent: deque[tuple[float, types.Blob]] = field(default_factory=deque)
    _marks: deque[types.LiveClientRealtimeInput] = field(
        default_factory=lambda: deque(maxlen=MARKS_MAX)
    )
    _video: types.Blob | None = None
    _gone_until: float = 0.0
    dropped_chunks: int = 0

    def push(self, event: types.LiveClientRealtimeInput) -> None:
        """Take sound, a picture (the newest alone counts) or a mark of activity."""
        if event.audio is not None:
            self._audio.append(event.audio)
            while len(self._audio) > self.away_audio_s / CHUNK_S:
                self._audio.popleft()
                self.dropped_chunks += 1
        elif event.video is not None:
            self._video = event.video
        else:
            self._marks.append(event)

    def pop(self, now: float) -> types.LiveClientRealtimeInput | None:
        """Take the next thing to send. Sound counts as sent from here on."""
        has_sound = bool(self._again or self._audio)
        if self._marks and not (has_sound and self._marks[0].activity_end is not None):
            return self._marks.popleft()
        if has_sound:
            blob = (self._again or self._audio).popleft()
            self._sent.append((now, blob))
            while len(self._sent) > KEPT_S / CHUNK_S:
                self._sent.popleft()
            return types.LiveClientRealtimeInput(audio=blob)
        if self._video is not None:
            picture, self._video = self._video, None
            return types.LiveClientRealtimeInput(video=picture)
        return None

    @property
    def ends_activity(self) -> bool:
        """Whether the end of what the caller says has still to be sent: no request overtakes it."""
        return any(one.activity_end is not None for one in self._marks)

    def acted_on(self, until: float) -> None:
        """The service has answered the sound that it was sent until then."""
        self._gone_until = until
        while self._sent and self._sent[0][0] <= until:
            self._sent.popleft()

    def reaches_back_to(self, instant: float, *, began_at: float) -> bool:
        """Whether everything sent since then is still here, for words that began then."""
        is_whole = len(self._sent) < KEPT_S / CHUNK_S or self._sent[0][0] <= instant
        return is_whole and self._gone_until <= began_at

    def send_again(self, since: float) -> None:
        """Begin the next connection with the sound that the last one did not act on."""
        self._again.extendleft(blob for at, blob in reversed(self._sent) if at >= since)
        while len(self._again) > KEPT_S / CHUNK_S:
            self._again.popleft()
        self._sent.clear()
        self._marks.clear()
