"""A realtime model at a test's command: it hears, thinks and speaks when told."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Literal

from livekit import rtc
from livekit.agents import NOT_GIVEN, NotGivenOr, llm, metrics
from livekit.agents.metrics.base import Metadata

from simulators.scripted.line import silence

_ids = itertools.count(1)


class ScriptedRealtimeModel(llm.RealtimeModel):
    """``transcribes``: it announces what people said. ``takes_turns``: it knows when they ended.

    ``answers_tools``: it goes on by itself when it has a tool's result.
    """

    def __init__(
        self, *, transcribes: bool = True, takes_turns: bool = True, answers_tools: bool = False
    ) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=takes_turns,
                user_transcription=transcribes,
                auto_tool_reply_generation=answers_tools,
                audio_output=True,
                manual_function_calls=True,
                mutable_chat_context=True,
                mutable_instructions=True,
                mutable_tools=True,
                per_response_tool_choice=True,
            )
        )
        self.live: ScriptedRealtimeSession

    def session(self, *, turn_detection_disabled: bool = False) -> "ScriptedRealtimeSession":
        """Open a session; the newest is ``live``."""
        self.live = ScriptedRealtimeSession(self)
        return self.live

    async def aclose(self) -> None:
        """Nothing to close."""


class ScriptedRealtimeSession(llm.RealtimeSession[str]):
    """One connection."""

    def __init__(self, model: ScriptedRealtimeModel) -> None:
        super().__init__(model)
        self._context = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()
        self._wanted: list[asyncio.Future[llm.GenerationCreatedEvent]] = []
        self.close_error: Exception | None = None

    def began(self) -> None:
        """The provider hears somebody speak."""
        self.emit("input_speech_started", llm.InputSpeechStartedEvent())

    def paused(self) -> None:
        """The provider hears nobody any more."""
        self.emit(
            "input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True)
        )

    def partial(self, item_id: str, text: str) -> None:
        """Show words of an utterance that may still change."""
        self._transcribed(item_id, text, is_final=False, began_at=None)

    def final(self, item_id: str, text: str, *, began_at: float | None = None) -> None:
        """Announce the words of an utterance."""
        self._transcribed(item_id, text, is_final=True, began_at=began_at)

    def answers(self, text: str = "", *, calls: tuple[tuple[str, str], ...] = ()) -> None:
        """Begin a reply: the one that was asked for, or one of its own."""
        wanted = [future for future in self._wanted if not future.done()]
        event = _generation(text, calls, user_initiated=bool(wanted))
        if wanted:
            wanted[0].set_result(event)
        else:
            self.emit("generation_created", event)

    def bills(self, **counts: int) -> None:
        """Report what a reply took: ``input_audio``, ``input_text``, ``cached_text``,
        ``output_audio``, ``output_text``, in tokens.
        """
        read = {each: counts.get(f"input_{each}", 0) for each in ("audio", "text")}
        said = {each: counts.get(f"output_{each}", 0) for each in ("audio", "text")}
        cached = counts.get("cached_text", 0)
        report = metrics.RealtimeModelMetrics(
            request_id=f"reply_{next(_ids)}",
            timestamp=0.0,
            input_tokens=sum(read.values()),
            output_tokens=sum(said.values()),
            input_token_details=metrics.RealtimeModelMetrics.InputTokenDetails(
                audio_tokens=read["audio"],
                text_tokens=read["text"],
                cached_tokens=cached,
                cached_tokens_details=metrics.RealtimeModelMetrics.CachedTokenDetails(
                    text_tokens=cached
                ),
            ),
            output_token_details=metrics.RealtimeModelMetrics.OutputTokenDetails(
                audio_tokens=said["audio"], text_tokens=said["text"]
            ),
            metadata=Metadata(model_name="voice", model_provider="script"),
        )
        self.emit("metrics_collected", report)

    def stays_open(self, duration_s: float) -> None:
        """Report how long the connection has been open since it was last told: no request."""
        report = metrics.RealtimeModelMetrics(
            request_id="",
            timestamp=0.0,
            session_duration=duration_s,
            input_token_details=metrics.RealtimeModelMetrics.InputTokenDetails(),
            output_token_details=metrics.RealtimeModelMetrics.OutputTokenDetails(),
            metadata=Metadata(model_name="voice", model_provider="script"),
        )
        self.emit("metrics_collected", report)

    @property
    def is_asked(self) -> bool:
        """Whether the framework waits for a reply."""
        return any(not future.done() for future in self._wanted)

    @property
    def chat_ctx(self) -> llm.ChatContext:
        """What the provider remembers."""
        return self._context

    @property
    def tools(self) -> llm.ToolContext:
        """What the provider may call."""
        return self._tools

    async def update_instructions(self, instructions: str) -> None:
        """Taken and forgotten."""

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        """Remember."""
        self._context = chat_ctx.copy()

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        """Remember."""
        self._tools = llm.ToolContext(tools)

    def update_options(self, *, tool_choice: NotGivenOr[llm.ToolChoice | None] = NOT_GIVEN) -> None:
        """Taken and forgotten."""

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Not heard: what is said comes from the script."""

    def push_video(self, frame: rtc.VideoFrame) -> None:
        """Not seen."""

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Reply as soon as the script ``answers``."""
        future: asyncio.Future[llm.GenerationCreatedEvent] = (
            asyncio.get_running_loop().create_future()
        )
        self._wanted.append(future)
        return future

    def commit_audio(self) -> None:
        """The framework ended a turn."""

    def clear_audio(self) -> None:
        """The framework dropped what was heard."""

    def interrupt(self) -> None:
        """The framework cuts a reply short."""

    def truncate(
        self,
        *,
        message_id: str,
        modalities: list[Literal["text", "audio"]],
        audio_end_ms: int,
        audio_transcript: NotGivenOr[str] = NOT_GIVEN,
    ) -> None:
        """The framework says how much was heard."""

    async def aclose(self) -> None:
        """Close, or fail to."""
        for future in self._wanted:
            future.cancel()
        if self.close_error is not None:
            raise self.close_error

    def _transcribed(
        self, item_id: str, text: str, *, is_final: bool, began_at: float | None
    ) -> None:
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(
                item_id=item_id, transcript=text, is_final=is_final, turn_started_at=began_at
            ),
        )


def _generation(
    text: str, calls: tuple[tuple[str, str], ...], *, user_initiated: bool
) -> llm.GenerationCreatedEvent:
    async def messages() -> AsyncIterator[llm.MessageGeneration]:
        if text:
            modalities: asyncio.Future[list[Literal["text", "audio"]]] = (
                asyncio.get_running_loop().create_future()
            )
            modalities.set_result(["audio", "text"])
            yield llm.MessageGeneration(
                message_id=f"reply_{next(_ids)}",
                text_stream=_words(text),
                audio_stream=_audio(),
                modalities=modalities,
            )

    async def functions() -> AsyncIterator[llm.FunctionCall]:
        for name, arguments in calls:
            yield llm.FunctionCall(call_id=f"call_{next(_ids)}", name=name, arguments=arguments)

    return llm.GenerationCreatedEvent(
        message_stream=messages(), function_stream=functions(), user_initiated=user_initiated
    )


async def _words(text: str) -> AsyncIterator[str]:
    yield text


async def _audio() -> AsyncIterator[rtc.AudioFrame]:
    yield silence(0.1)
