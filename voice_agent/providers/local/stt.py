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
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectionError,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    stt,
    utils,
)
from livekit.local_inference import VAD

from voice_agent.domain.errors import LayerUnavailable

from .completeness import hands_over, is_complete
from .segments import WINDOW_BYTES, Cue, Pacing, Segmenter, Utterance
from .speech_client import RequestNotSpoken, SpeechClient
from .wire import RECOGNITION_RATE, Urgency

log = logging.getLogger(__name__)

_LANGUAGE = LanguageCode("en")
_UNDECODED = 20  # finished utterances kept while the server is away; the oldest go first


class LocalSTT(stt.STT[Any]):  # Any: it has no events of its own
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
        self._client = client
        self._segmenter = Segmenter(pacing)
        self._vad = VAD()
        self._rest = b""  # audio that does not fill a window yet
        self._ended: deque[Utterance] = deque(maxlen=_UNDECODED)  # wait for their final words
        self._wanted: tuple[Cue, Utterance] | None = None  # the newest; an older one is forgotten
        self._running: tuple[Cue, asyncio.Task[str]] | None = None
        self._guess: tuple[Utterance, str] | None = None  # what the last pause was decoded to
        self._wake = asyncio.Event()
        self._input_over = False
        super().__init__(stt=stt_, conn_options=conn_options, sample_rate=RECOGNITION_RATE)

    async def _run(self) -> None:
        self._wake.set()  # after a failure: what waits is decoded first
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="local-stt-listen")
                group.create_task(self._decode(), name="local-stt-decode")
        except BaseExceptionGroup as failed:  # the framework wants the bare error to retry
            raise failed.exceptions[0] from failed

    async def _listen(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._hear(item)
            else:  # a flush: what was said so far is all
                self._act(self._segmenter.end())
        self._act(self._segmenter.end())
        self._input_over = True
        self._wake.set()

    def _hear(self, audio: rtc.AudioFrame) -> None:
        self._rest += _first_channel(audio)
        while len(self._rest) >= WINDOW_BYTES:
            window, self._rest = self._rest[:WINDOW_BYTES], self._rest[WINDOW_BYTES:]
            # 15 µs of native code: a thread would cost more than it saves
            probability = self._vad.predict(np.frombuffer(window, dtype=np.int16))
            self._act(self._segmenter.feed(window, probability))

    def _act(self, cue: Cue | None) -> None:
        match cue:
            case Cue.STARTED:
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH)
                )
            case Cue.WORDS:
                self._wanted = (Cue.WORDS, self._segmenter.utterance())
            case Cue.PAUSED:
                self._wanted = (Cue.PAUSED, self._segmenter.utterance())
                self._give_up_words()
            case Cue.RESUMED:
                self._wanted = None
            case Cue.ENDED:
                self._wanted = None
                if len(self._ended) == _UNDECODED:
                    log.error("utterance lost", extra={"outcome": "speech server away too long"})
                self._ended.append(self._segmenter.utterance())
                self._give_up_words()
        self._wake.set()

    def _give_up_words(self) -> None:
        """Stop waiting for words for the screen: something more urgent is to be decoded."""
        if self._running and self._running[0] is Cue.WORDS:
            self._running[1].cancel()

    async def _decode(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ended or self._wanted:
                if self._ended:
                    await self._finish(self._ended[0])
                elif self._wanted:
                    (cue, utterance), self._wanted = self._wanted, None
                    await self._show(cue, utterance)
            if self._input_over:
                return

    async def _finish(self, utterance: Utterance) -> None:
        """Emit the final transcript of ``utterance``; on failure it stays first in the queue."""
        text = self._guessed(utterance)
        if text is None:
            text = await _words(self._client, utterance.pcm, urgency=Urgency.NOW)
        if self._ended and self._ended[0] is utterance:
            self._ended.popleft()
        self._guess = None
        self._emit(stt.SpeechEventType.FINAL_TRANSCRIPT, utterance, text)
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.RECOGNITION_USAGE,
                recognition_usage=stt.RecognitionUsage(
                    audio_duration=utterance.ended_s - utterance.began_s
                ),
            )
        )

    def _guessed(self, utterance: Utterance) -> str | None:
        """Return what was decoded at the last pause, if no speech came after it."""
        if self._guess is None:
            return None
        at_pause, text = self._guess
        same = (at_pause.number, at_pause.ended_s) == (utterance.number, utterance.ended_s)
        return text if same else None

    async def _show(self, cue: Cue, utterance: Utterance) -> None:
        """Emit what ``utterance`` sounds like so far; remember it if it may be all."""
        urgency = Urgency.NOW if cue is Cue.PAUSED else Urgency.SOON
        task = asyncio.create_task(_words(self._client, utterance.pcm, urgency=urgency))
        self._running = (cue, task)
        try:
            await asyncio.wait({task})
        finally:
            self._running = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled() or (cue is Cue.WORDS and task.exception()):
            return  # the next words, or the final ones, come soon enough
        text = task.result()
        if cue is Cue.WORDS:
            self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, utterance, text)
            return
        self._guess = (utterance, text)
        if not is_complete(text):
            self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, utterance, text)
            return
        # lets the session begin its reply now; it is dropped if the speaker goes on
        self._emit(stt.SpeechEventType.PREFLIGHT_TRANSCRIPT, utterance, text)
        self._act(self._segmenter.settle(utterance, sure=hands_over(text)))

    def _emit(self, kind: stt.SpeechEventType, utterance: Utterance, text: str) -> None:
        if not text and kind is not stt.SpeechEventType.FINAL_TRANSCRIPT:
            return
        offset_s = self.start_time_offset
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=kind,
                alternatives=[
                    stt.SpeechData(
                        language=_LANGUAGE,
                        text=text,
                        start_time=offset_s + utterance.began_s,
                        end_time=offset_s + utterance.ended_s,
                    )
                ],
            )
        )


async def _words(client: SpeechClient, pcm: bytes, *, urgency: Urgency) -> str:
    """Recognise ``pcm``; failures become the framework's, which it knows how to retry."""
    try:
        return await client.recognise(pcm, urgency=urgency)
    except LayerUnavailable as exc:
        raise APIConnectionError("the speech server is away or busy") from exc
    except RequestNotSpoken as exc:
        raise APIConnectionError(str(exc), retryable=False) from exc


def _first_channel(audio: rtc.AudioFrame) -> bytes:
    samples = np.frombuffer(audio.data, dtype=np.int16)
    first: bytes = samples[:: audio.num_channels].tobytes()
    return first


def _at_recognition_rate(audio: rtc.AudioFrame) -> bytes:
    if audio.sample_rate == RECOGNITION_RATE:
        return _first_channel(audio)
    resampler = rtc.AudioResampler(
        audio.sample_rate,
        RECOGNITION_RATE,
        num_channels=audio.num_channels,
        quality=rtc.AudioResamplerQuality.HIGH,
    )
    parts = [*resampler.push(audio), *resampler.flush()]
    return b"".join(_first_channel(part) for part in parts)
