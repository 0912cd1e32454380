"""A call through the model interface: what is said, and whether both sides remember the same."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.agents.llm import function_tool

from simulators.gemini import spoken
from simulators.gemini.behaviour import Behaviour
from simulators.gemini.server import GeminiServer
from tests.support.waiting import POLL_S, wait_for
from voice_agent.providers.gemini import Limits, Options, Outcome, RealtimeModel, RealtimeSession

QUICK = Limits(backoff_s=0.01, backoff_cap_s=0.05, quiet_s=0.05, set_up_s=2.0, give_up_s=10.0)


@function_tool
async def look_up(word: str) -> str:
    """Look a word up.

    Args:
        word: what to look up
    """
    return f"found {word}"


@function_tool
async def other() -> str:
    """Another tool."""
    return "other"


class Talk:
    """The application's side of one call: plays what the model says, runs its tools."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.errors: list[llm.RealtimeModelError] = []
        self.outcomes: list[Outcome] = []
        self.calls: list[llm.FunctionCall] = []
        self.heard: list[str] = []
        self.transcripts: list[str] = []
        self.tools_at_once = True
        self.pieces_heard = 0
        self._tasks: set[asyncio.Task[None]] = set()
        session.on("generation_created", self._on_generation)
        session.on("error", self.errors.append)
        session.on(
            "input_audio_transcription_completed",
            lambda event: self.transcripts.append(event.transcript),
        )

    def _on_generation(self, event: llm.GenerationCreatedEvent) -> None:
        task = asyncio.create_task(self._play(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, event: llm.GenerationCreatedEvent) -> None:
        calls = asyncio.create_task(self._run(event))
        async for message in event.message_stream:
            words: list[str] = []
            async for text in message.text_stream:
                words.append(text)
                self.pieces_heard += 1
            async for _ in message.audio_stream:
                pass
            if words:
                self.heard.append("".join(words))
        await calls

    async def _run(self, event: llm.GenerationCreatedEvent) -> None:
        async for call in event.function_stream:
            self.calls.append(call)
            if self.tools_at_once:
                await self.give(call)

    async def give(self, call: llm.FunctionCall, output: str | None = None) -> None:
        """A tool has finished: hand its result over as livekit-agents does."""
        context = self.session.chat_ctx.copy()
        word = llm.utils.parse_function_arguments(call.arguments).get("word")
        if call.id not in {item.id for item in context.items}:
            context.items.append(call)
        context.items.append(
            llm.FunctionCallOutput(
                call_id=call.call_id, name=call.name, output=output or f"found {word}",
                is_error=False,
            )
        )  # fmt: skip
        await self.session.update_chat_ctx(context)

    def say(self, text: str) -> None:
        """Speak: sound that carries its words."""
        for pcm in spoken.speak(text):
            self.hear(pcm)

    def hear(self, pcm: bytes) -> None:
        """Push fifty milliseconds of sound."""
        self.session.push_audio(
            rtc.AudioFrame(data=pcm, sample_rate=16000, num_channels=1, samples_per_channel=800)
        )

    async def type(self, text: str, *, ask: bool = True) -> None:
        """Type: an item of the application's own, and a request for a reply."""
        context = self.session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await self.session.update_chat_ctx(context)
        if ask:
            self.session.generate_reply().add_done_callback(_looked_at)

    async def aclose(self) -> None:
        """Hang up."""
        await self.session.aclose()
        for task in list(self._tasks):
            await task


def _looked_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def told(session: llm.RealtimeSession[Any]) -> list[tuple[str, str]]:
    """The application's conversation in the words of ``Conversation.said``."""
    lines: list[tuple[str, str]] = []
    for item in session.chat_ctx.items:
        if isinstance(item, llm.ChatMessage) and item.text_content:
            role = "model" if item.role == "assistant" else "user"
            lines.append((role, item.text_content))
        elif isinstance(item, llm.FunctionCallOutput):
            word = item.output.removeprefix("found ")
            lines.append(("tool", f"{item.name}(word={word}) = {item.output}"))
    return lines


async def stays(condition: Callable[[], bool], *, for_s: float = 0.3) -> None:
    """Look again and again: it must hold all the time."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        assert condition()
        await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def talking(
    server: GeminiServer,
    *,
    limits: Limits = QUICK,
    resume: bytes | None = None,
    key: str = "none",
    model: str = "gemini-2.5-flash-native-audio-preview-12-2025",
    **options: Any,
) -> AsyncIterator[Talk]:
    """Begin a call; hang up at the end of the block."""
    outcomes: list[Outcome] = []
    maker = RealtimeModel(
        model=model,
        api_key=key,
        http_options=server.http_options,
        options=Options(limits=limits, on_outcome=outcomes.append, **options),
        resume=resume,
    )
    session: RealtimeSession = maker.session()
    talk = Talk(session)
    talk.outcomes = outcomes
    await session.update_instructions("Be brief.")
    await session.update_tools([look_up])
    try:
        yield talk
    finally:
        await talk.aclose()


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour | None = None) -> AsyncIterator[GeminiServer]:
    """Run the stand-in."""
    server = GeminiServer(behaviour=behaviour or Behaviour())
    async with server.serving():
        yield server


async def both_remember(
    server: GeminiServer,
    talk: Talk,
    *lines: tuple[str, str],
    within_s: float = 5.0,
    also: Callable[[], bool] = lambda: True,
) -> None:
    """Wait until both sides have the same conversation, with these lines last, and rest."""

    def same() -> bool:
        ours = told(talk.session)
        return (
            server.is_connected
            and server.now.is_idle
            and server.conversation.said == ours
            and also()
            and (not lines or ours[-len(lines) :] == list(lines))
        )

    try:
        await wait_for(same, within_s=within_s)
    except AssertionError:
        theirs = server.conversation.said if server.connections else None
        wanted = list(lines)
        raise AssertionError(
            f"\n  service     {theirs}\n  application {told(talk.session)}\n  wanted last {wanted}"
            f"\n  passed      {[f'{p.way} {p.kind}' for p in server.passed]}"
        ) from None
