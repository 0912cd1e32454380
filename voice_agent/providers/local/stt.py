"""LocalSTT: the framework's speech-to-text, decoded by the speech server.

The stream cuts the audio itself (``segments``), shows words about every half second, and decodes
a whole utterance as soon as a short silence is heard, so that the final transcript is ready when
the silence has lasted long enough to be the end.

When the speech server is away, the audio of the running utterance and of finished ones that were
not decoded yet is kept in the stream and decoded when it is back; words for the screen are left
out. What is lost when this module fails: the words of that utterance.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)
from livekit.local_inference import VAD

from .segments import Pacing, Segmenter, Utterance
from .speech_client import SpeechClient
from .wire import RECOGNITION_RATE, Urgency

log = logging.getLogger(__name__)

_LANGUAGE = LanguageCode("en")
_UNDECODED = 20  # finished utterances kept while the server is away; the oldest go first


class LocalSTT(stt.STT):
    """English speech-to-text by Moonshine in the speech server at ``socket_path``.

    Args:
        socket_path: where the speech server listens; it need not listen yet.
        pacing: how long silences must be.
        patience_s: how long one request is repeated while the server restarts.
    """

    def __init__(
        self,
        *,
        socket_path: Path,
        pacing: Pacing | None = None,
        patience_s: float = 8.0,
    ) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, offline_recognize=True
            )
        )
        self._client = SpeechClient(socket_path, patience_s=patience_s)
        self._pacing = pacing or Pacing()

    @property
    def model(self) -> str:
        """The model's name, for metrics."""
        return "moonshine-tiny-en"

    @property
    def provider(self) -> str:
        """The provider's name, for metrics."""
        return "local"

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        del language, conn_options  # one language; the client has its own patience
        audio = rtc.combine_audio_frames(buffer)
        pcm = _at_recognition_rate(audio)
        text = await _words(self._client, pcm, urgency=Urgency.NOW)
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            request_id=utils.shortuuid(),
            alternatives=[stt.SpeechData(language=_LANGUAGE, text=text, end_time=audio.duration)],
        )

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> LocalRecognizeStream:
        """Begin a stream; audio of any rate is pushed into it."""
        del language
        return LocalRecognizeStream(
            stt_=self, client=self._client, pacing=self._pacing, conn_options=conn_options
        )


@dataclass(slots=True)
class _Decoding:
    """One request on its way. ``final`` ones are never given up, only repeated."""

    utterance: Utterance
    task: asyncio.Task[str]
    final: bool


class LocalRecognizeStream(stt.RecognizeStream):
    """Recognises one participant. Its state survives the framework's retries of ``_run``."""

    def __init__(
        self,
        *,
        stt_: LocalSTT,
        client: SpeechClient,
        pacing: Pacing,
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(stt=stt_, conn_options=conn_options, sample_rate=RECOGNITION_RATE)
        self._client = client
        self._segmenter = Segmenter(pacing)
        self._vad = VAD()
        self._rest = b""  # audio that does not fill a window yet
        self._ended: deque[Utterance] = deque(maxlen=_UNDECODED)  # to be decoded for good
        self._shown: Utterance | None = None  # to be decoded for the screen
        self._guess: tuple[Utterance, str] | None = None  # decoded at the last pause
        self._decoding: _Decoding | None = None
        self._wake = asyncio.Event()
        self._heard_everything = False

    async def _run(self) -> None:
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="local-stt-listen")
            decoding = group.create_task(self._decode(), name="local-stt-decode")
            # a TaskGroup wraps errors; the framework wants the bare APIError to retry
            done, _ = await asyncio.wait({listening, decoding}, return_when=asyncio.FIRST_EXCEPTION)
            del done
