"""Where an utterance begins, pauses and ends.

Pure: windows and their speech probability in, cues out.

The thresholds are those of livekit-agents' own VAD, which sees the same audio in the session and
decides when the turn ends. A pause after words that cannot stand alone ("my name is ...") is
waited out: while this module gives no end there is no final transcript, and without one the session
does not end the turn.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

WINDOW_S = 0.032  # 512 samples at 16 kHz, what the model looks at
WINDOW_BYTES = 1024


class Cue(Enum):
    """What a window of audio meant."""

    STARTED = "started"  # someone speaks
    WORDS = "words"  # half a second more of speech: worth showing
    PAUSED = "paused"  # a short silence: perhaps the end, worth decoding at once
    RESUMED = "resumed"  # it was not the end
    ENDED = "ended"  # the utterance is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How long speech and silence must last, in seconds of audio; how sure the model must be."""

    speech_probability: float = 0.5
    silence_probability: float = 0.35  # while someone speaks: below it a window is silence
    start_s: float = 0.05
    pause_s: float = 0.09
    end_s: float = 0.25  # when the words so far hand the turn over (``settle``)
    likely_s: float = 0.5  # when they can stand alone: not shorter than a pause for thought
    unsure_s: float = 0.8  # when they cannot, or are not known yet
    words_s: float = 0.5
    preroll_s: float = 0.3  # first sounds lie before the moment the model is sure
    long_s: float = 12.0  # from here a pause ends the utterance: the recogniser likes short ones
    longest_s: float = 25.0  # and here it is cut, in the middle of a word if need be


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What was said so far. ``began_s`` and ``ended_s`` are seconds of this stream's audio."""

    number: int
    pcm: bytes
    began_s: float
    ended_s: float  # end of its last window that held speech


class Segmenter:
    """Cuts a stream of windows into utterances."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._number = 0
        self._windows: deque[bytes] = deque(maxlen=_count(pacing.preroll_s))
        self._heard: list[bytes] = []
        self._position = 0  # windows seen
        self._began = 0
        self._last_speech = 0
        self._speech_run = 0
        self._silence_run = 0
        self._since_words = 0
        self._paused = False
        self._enough_s = pacing.unsure_s
        self.speaking = False

    def feed(self, window: bytes, probability: float) -> Cue | None:
        """Take the next window of ``WINDOW_BYTES``; return what it meant, if anything."""
        self._position += 1
        threshold = (
            self._pacing.silence_probability if self.speaking else self._pacing.speech_probability
        )
        is_speech = probability >= threshold
        self._speech_run = self._speech_run + 1 if is_speech else 0
        self._silence_run = 0 if is_speech else self._silence_run + 1
        if not self.speaking:
            return self._listen(window)
        self._heard.append(window)
        return self._follow_speech() if is_speech else self._follow_silence()

    def utterance(self) -> Utterance:
        """Return the running utterance, or the one that has just ended."""
        return Utterance(
            number=self._number,
            pcm=b"".join(self._heard),
            began_s=self._began * WINDOW_S,
            ended_s=self._last_speech * WINDOW_S,
        )

    def settle(self, utterance: Utterance, *, sure: bool) -> Cue | None:
        """Take notice that the words of ``utterance`` can stand alone: it may end soon, or now.

        ``sure``: they hand the turn over, so that nothing more is to be expected.
        """
        now = self.utterance()
        if self.speaking and (now.number, now.ended_s) == (utterance.number, utterance.ended_s):
            self._enough_s = self._pacing.end_s if sure else self._pacing.likely_s
            if self._silence_run * WINDOW_S >= self._enough_s:
                return self._end()
        return None

    def end(self) -> Cue | None:
        """End a running utterance now, whatever the audio says."""
        return self._end() if self.speaking else None

    def _listen(self, window: bytes) -> Cue | None:
        self._windows.append(window)
        if self._speech_run * WINDOW_S < self._pacing.start_s:
            return None
        self._number += 1
        self.speaking, self._paused, self._enough_s = True, False, self._pacing.unsure_s
        self._heard = list(self._windows)
        self._began = self._position - self._speech_run
        self._last_speech = self._position
        self._since_words = self._speech_run
        return Cue.STARTED

    def _follow_speech(self) -> Cue | None:
        self._last_speech = self._position
        self._enough_s = self._pacing.unsure_s
        self._since_words += 1
        if len(self._heard) * WINDOW_S >= self._pacing.longest_s:
            return self._end()
        if self._paused:
            self._paused = False
            return Cue.RESUMED
        if self._since_words * WINDOW_S >= self._pacing.words_s:
            self._since_words = 0
            return Cue.WORDS
        return None

    def _follow_silence(self) -> Cue | None:
        silence_s = self._silence_run * WINDOW_S
        is_long = len(self._heard) * WINDOW_S >= self._pacing.long_s
        if silence_s >= (self._pacing.pause_s if is_long else self._enough_s):
            return self._end()
        if silence_s >= self._pacing.pause_s and not self._paused:
            self._paused, self._since_words = True, 0
            return Cue.PAUSED
        return None

    def _end(self) -> Cue:
        self.speaking = False
        self._speech_run = self._silence_run = 0
        self._windows.clear()
        self._windows.extend(self._heard[-3:])  # a word that follows at once keeps its first sound
        return Cue.ENDED


def _count(seconds: float) -> int:
    return max(1, round(seconds / WINDOW_S))
