"""Speech detection, recognition, a language model and a voice, each at a test's command."""

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    LanguageCode,
    NotGivenOr,
    llm,
    stt,
    tts,
    utils,
    vad,
)

from simulators.scripted.line import RATE, silence

_SPOKEN_S = 0.2


class ScriptedVAD(vad.VAD):
    """Hears speech begin and end when told."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.1))
        self._stream: _VADStream | None = None

    def stream(self) -> vad.VADStream:
        """Begin to listen."""
        self._stream = _VADStream(self)
        return self._stream

    def begin(self) -> None:
        """Somebody begins to speak, loud enough to interrupt."""
        self._emit(vad.VADEventType.START_OF_SPEECH, speaking=True)
        self._emit(vad.VADEventType.INFERENCE_DONE, speaking=True)

    def end(self) -> None:
        """Nobody speaks any more."""
        self._emit(vad.VADEventType.END_OF_SPEECH, speaking=False)

    def _emit(self, kind: vad.VADEventType, *, speaking: bool) -> None:
        assert self._stream is not None, "nobody listens"
        self._stream.emit(
            vad.VADEvent(
                type=kind,
                samples_index=0,
                timestamp=0.0,
                speech_duration=_SPOKEN_S if speaking else 0.0,
                silence_duration=0.0,
                speaking=speaking,
                raw_accumulated_speech=_SPOKEN_S if speaking else 0.0,
            )
        )


class _VADStream(vad.VADStream):
    def emit(self, event: vad.VADEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            pass


class ScriptedSTT(stt.STT[Any]):  # Any: it has no events of its own
    """Recognises the words it is told, when it is told."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._stream: _STTStream | None = None
        self.stream_count = 0
        """How many connections were made."""

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Begin to listen."""
        self._stream = _STTStream(stt=self, conn_options=conn_options)
        return self._stream

    def partial(self, text: str) -> None:
        """Show words that may still change."""
        self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, text)

    def final(self, text: str) -> None:
        """Recognise words for good."""
        self._emit(stt.SpeechEventType.FINAL_TRANSCRIPT, text)

    def bills(self, audio_s: float) -> None:
        """Report how much was listened to."""
        assert self._stream is not None, "nobody listens"
        usage = stt.RecognitionUsage(audio_duration=audio_s)
        kind = stt.SpeechEventType.RECOGNITION_USAGE
        self._stream.emit(stt.SpeechEvent(type=kind, recognition_usage=usage))

    def fail(self, error: Exception) -> None:
        """Lose the connection; the framework makes another."""
        assert self._stream is not None, "nobody listens"
        self._stream.failure.set_result(error)

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        raise NotImplementedError("only streams are scripted")

    def _emit(self, kind: stt.SpeechEventType, text: str) -> None:
        assert self._stream is not None, "nobody listens"
        words = stt.SpeechData(language=LanguageCode("en"), text=text, confidence=0.9)
        self._stream.emit(stt.SpeechEvent(type=kind, alternatives=[words]))


class _STTStream(stt.RecognizeStream):
    def emit(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        assert isinstance(self._stt, ScriptedSTT)
        self._stt.stream_count += 1
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        over = asyncio.ensure_future(self._until_over())
        either: list[asyncio.Future[Any]] = [over, self.failure]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if self.failure.done():
            raise self.failure.result()

    async def _until_over(self) -> None:
        async for _ in self._input_ch:
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model answers. ``held``: it waits for this first; ``unfinished``: at its end.

    It reports ``PROMPT_TOKENS`` read, and a token written for each word.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Tools to call: name and arguments as JSON."""
    error: Exception | None = None
    held: asyncio.Event | None = None
    unfinished: asyncio.Event | None = None


PROMPT_TOKENS = 10
_ids = itertools.count(1)


@dataclass(slots=True)
class ScriptedLLMState:
    """What a model will answer and what it was asked."""

    answers: deque[Answer] = field(default_factory=deque)
    asked: list[llm.ChatContext] = field(default_factory=list)


class ScriptedLLM(llm.LLM[Any]):  # Any: it has no events of its own
    """Gives the answers of its script, in order; then "yes" for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ScriptedLLMState()

    def will(self, *answers: Answer | str) -> None:
        """Add to the script."""
        made = (Answer(text=one) if isinstance(one, str) else one for one in answers)
        self.state.answers.extend(made)

    @property
    def model(self) -> str:
        """What a report names."""
        return "reader"

    @property
    def provider(self) -> str:
        """What a report names."""
        return "script"

    @property
    def asked(self) -> list[llm.ChatContext]:
        """Every context it was shown."""
        return self.state.asked

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Answer by the script."""
        self.state.asked.append(chat_ctx.copy())  # the framework adds to it
        answer = self.state.answers.popleft() if self.state.answers else Answer(text="yes")
        once = APIConnectOptions(max_retry=0, timeout=conn_options.timeout)
        return _LLMStream(self, answer, chat_ctx=chat_ctx, tools=tools or [], conn_options=once)


class _LLMStream(llm.LLMStream):
    def __init__(
        self,
        model: ScriptedLLM,
        answer: Answer,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        self._answer = answer
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)

    async def _run(self) -> None:
        answer = self._answer
        if answer.held is not None:
            await answer.held.wait()
        if answer.error is not None:
            raise answer.error
        id_ = f"answer_{next(_ids)}"
        if answer.text:
            self._event_ch.send_nowait(
                llm.ChatChunk(id=id_, delta=llm.ChoiceDelta(role="assistant", content=answer.text))
            )
        calls = [
            llm.FunctionToolCall(name=name, arguments=arguments, call_id=f"call_{next(_ids)}")
            for name, arguments in answer.calls
        ]
        if calls:
            delta = llm.ChoiceDelta(role="assistant", tool_calls=calls)
            self._event_ch.send_nowait(llm.ChatChunk(id=id_, delta=delta))
        if answer.unfinished is not None:
            await answer.unfinished.wait()
        words = len(answer.text.split())
        usage = llm.CompletionUsage(
            prompt_tokens=PROMPT_TOKENS, completion_tokens=words, total_tokens=PROMPT_TOKENS + words
        )
        self._event_ch.send_nowait(llm.ChatChunk(id=id_, usage=usage))


class ScriptedTTS(tts.TTS[Any]):  # Any: it has no events of its own
    """Speaks every text as a short silence; while ``held``, not yet."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )
        self.may_speak = asyncio.Event()
        self.may_speak.set()

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Begin to speak."""
        return _TTSStream(tts=self, input_text=text, conn_options=conn_options)


class _TTSStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, ScriptedTTS)
        await self._tts.may_speak.wait()
        output_emitter.initialize(
            request_id=f"speech_{next(_ids)}",
            sample_rate=RATE,
            num_channels=1,
            mime_type="audio/pcm",
        )
        output_emitter.push(bytes(silence(0.1).data))
        output_emitter.flush()
