"""What the workers to compare with do in a room: an AgentSession, and nothing else.

``bare``   the very session that our jobs use: same providers, same turn settings
``plain``  the same voices in a session that nobody has tuned: recognition after the end of speech
           (StreamAdapter), livekit-agents' own defaults for whose turn it is. Turn detection and
           interruption are "vad": the default detector takes this synthetic speech for unfinished
           and waits 2.5 s (docs/voices.md), which would flatter us
``live``   as ``plain``, with our streaming recogniser

Stage times of each turn go to the file that BENCHMARK_METRICS names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession, JobContext, inference, stt
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import events as lk

from config.settings import load
from voice_agent.aio.clock import SystemClock
from voice_agent.bootstrap.job import make_session, read_persona
from voice_agent.bootstrap.runtime import Runtime
from voice_agent.providers.local import LocalSTT, LocalTTS, RuleLLM
from voice_agent.room.tools import tools_of

WORKER = "BENCHMARK_WORKER"
METRICS = "BENCHMARK_METRICS"
NOWHERE = Runtime(folder=Path("/nonexistent"))  # the socket comes from VOICE_LOCAL__SOCKET


class Greeter(Agent):
    """Greets as ours does, and records nothing."""

    def __init__(self) -> None:
        self._persona = read_persona(load().call.agent_file)
        super().__init__(
            instructions=self._persona.instructions_for(None), tools=tools_of(SystemClock())
        )

    async def on_enter(self) -> None:
        """Greet."""
        self.session.generate_reply(instructions=self._persona.greeting)


async def bare(ctx: JobContext) -> None:
    """Serve a room with our session and nothing of our program round it."""
    await _serve(ctx, make_session(load(), NOWHERE))


async def plain(ctx: JobContext) -> None:
    """Serve a room as a worker does that nobody has tuned."""
    socket = _socket()
    adapted = stt.StreamAdapter(stt=LocalSTT(socket_path=socket), vad=inference.VAD())
    await _serve(ctx, _untuned(adapted, socket))


async def live(ctx: JobContext) -> None:
    """Serve a room as ``plain`` does, with our streaming recogniser."""
    socket = _socket()
    await _serve(ctx, _untuned(LocalSTT(socket_path=socket), socket))


def _untuned(ears: stt.STT[Any], socket: Path) -> AgentSession[Any]:
    return AgentSession(
        vad=inference.VAD(),
        stt=ears,
        llm=RuleLLM(),
        tts=LocalTTS(socket_path=socket),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )


def _socket() -> Path:
    socket = load().local.socket
    assert socket is not None
    return socket


async def _serve(ctx: JobContext, session: AgentSession[Any]) -> None:
    room = ctx.job.room.name
    out = Path(os.environ[METRICS])

    def note(event: lk.ConversationItemAddedEvent) -> None:
        if isinstance(event.item, ChatMessage) and event.item.metrics:
            line = {"room": room, "role": event.item.role, **event.item.metrics}
            with out.open("a") as stream:  # a write of some µs, between two turns
                stream.write(json.dumps(line, default=str) + "\n")

    session.on("conversation_item_added", note)
    await ctx.connect()
    await session.start(Greeter(), room=ctx.room, record=False)
