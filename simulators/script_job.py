"""A job process without LiveKit: the real call, recorder, store and outbox, fed below the audio.

Reads what a caller says from stdin, one JSON object a line, ``{"say": TOKEN, "speech_ms": N,
"think_ms": N}``, and records a turn for it as an agent's session would. What the caller would see
or hear of it is written to stdout only after ``record()`` has returned: ``{"heard": TOKEN,
"ordinal": N}`` for the transcript, ``{"answered": TOKEN, "ordinal": N}`` for the answer. The end
of stdin is the caller hanging up.

    python -m simulators.script_job --key KEY [--conversation ID] [--without-outbox]

Its settings are the agent's own, from the environment. ``--without-outbox`` shows what the outbox
is for: events go to the backend straight from memory, as a simpler design would do it.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from config.settings import load
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import new_id
from voice_agent.aio.supervisor import Jobs, Supervision
from voice_agent.bootstrap.calls import call_layers, make_call
from voice_agent.call.call import Call
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.ports import CallSignals
from voice_agent.call.summaries import Summarised
from voice_agent.domain.errors import VoiceAgentError
from voice_agent.domain.events import Event, Message, Speaker
from voice_agent.domain.ids import ConversationId, Identity, JobId, RoomName, SpeechId
from voice_agent.domain.usage import Usage
from voice_agent.state.codec import encode_event
from voice_agent.state.ports import Backend

CALLER = Speaker(identity=Identity("caller"))
WRITER = Usage(service="llm", provider="script", model="writer", counts={"requests": 1})
"""What each question takes."""
LISTENER = Usage(service="stt", provider="script", model="listener", counts={"audio_s": 0.5})
"""What a recogniser reports when the call is over."""
STOP_S = 2.0
FLUSH_S = 5.0
BATCH = 50


async def _cleared(_: bool) -> bool:
    """There is no model that could remember."""
    tell(cleared=True)
    return True


SIGNALS = CallSignals(
    bound=lambda bound: tell(bound=bound),
    history=lambda events: tell(history=[e.body.text for e in events
                                         if isinstance(e.body, Message)]),
    cleared=_cleared,
)  # fmt: skip


class Unsummarised:
    """Writes no summaries: a scripted call is about what was said."""

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        """Say nothing."""
        return Summarised(text=previous)


class Watcher:
    """Sees every recorded event (``call.ports.CallObserver``)."""

    def __init__(self) -> None:
        self.recorded_events: list[Event] = []
        self.keep = False

    def recorded(self, event: Event) -> None:
        """Keep it for whoever sends it, if anybody does."""
        if self.keep:
            self.recorded_events.append(event)

    def degraded(self, layer: str, *, on: bool) -> None:
        """Nothing is counted here."""

    def secured(self, waited_s: float, *, in_time: bool) -> None:
        """Nothing is counted here."""

    def hydrated(self, source: str, duration_s: float) -> None:
        """Nothing is counted here."""


class Straight:
    """The simpler design: events wait in memory until the backend has them."""

    def __init__(self, call: Call, backend: Backend, watcher: Watcher) -> None:
        self._call = call
        self._backend = backend
        self._waiting = watcher.recorded_events
        watcher.keep = True

    async def keep(self, jobs: Jobs) -> None:
        """Send what was recorded, again and again until it is stored."""
        while not await jobs.stopped(within_s=0.005):
            await self.send()

    async def send(self) -> None:
        """Send one batch; what fails waits on."""
        batch = self._waiting[:BATCH]
        if not batch or self._call.writer.conversation_id is None:
            return
        with suppress(VoiceAgentError):
            await self._backend.store_events(
                self._call.writer.conversation_id,
                self._call.writer.writer_id,
                [encode_event(e) for e in batch],
            )
            del self._waiting[: len(batch)]

    async def flush(self) -> None:
        """Send everything, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while self._waiting:
                    await self.send()
                    await asyncio.sleep(0.01)


class ScriptedCall:
    """One call whose caller is a pipe."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._reader = asyncio.StreamReader()

    async def talk(self) -> str:
        """Record what the caller says until someone hangs up; return the reason."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin.buffer
        )
        superseded = asyncio.ensure_future(self._call.superseded.wait())
        try:
            while not superseded.done():
                line = asyncio.ensure_future(self._reader.readline())
                await asyncio.wait({line, superseded}, return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    line.cancel()
                    return "superseded"
                if not line.result():
                    return "caller_left"
                await self._turn(json.loads(line.result()))
        finally:
            superseded.cancel()
        return "superseded"

    async def _turn(self, said: dict[str, Any]) -> None:
        """What the listener of a real session records for one question and its answer."""
        recorder = self._call.recorder
        turns = recorder.turns
        token = str(said["say"])
        recorder.record_all(turns.user_began(CALLER))
        await asyncio.sleep(said.get("speech_ms", 0) / 1000)
        recorder.record_all(turns.user_said(Message(role="user", text=token, speaker=CALLER)))
        recorder.spending.add(WRITER)
        tell(heard=token, ordinal=recorder.last_ordinal)
        speech = SpeechId(new_id())
        recorder.record_all(turns.speech_created(speech))
        await asyncio.sleep(said.get("think_ms", 0) / 1000)
        await self._call.secured()
        recorder.record_all(turns.agent_said(speech, Message(role="assistant", text=token)))
        tell(answered=token, ordinal=recorder.last_ordinal)
        recorder.record_all(turns.speech_done(speech, interrupted=False))


def tell(**fields: Any) -> None:
    """Show the caller something: one write, so that a kill never leaves half a line."""
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(fields).encode() + b"\n")


async def _run(args: argparse.Namespace) -> None:
    watcher = Watcher()
    layers = call_layers(load(), observer=watcher, summariser=Unsummarised())
    if args.without_outbox:
        layers = replace(layers, placement=None)
    call = make_call(
        load(),
        layers,
        Pointer(key=args.key, conversation_id=args.conversation, source="script"),
        Place(room=RoomName(args.key), job_id=JobId(f"AJ_{os.getpid()}")),
    )
    await call.load()
    if call.already_served:
        tell(left="already_served")
        return
    supervision = Supervision(
        clock=layers.clock, backoff=Backoff(), drain_s=STOP_S, on_failure=lambda: os._exit(1)
    )
    jobs = await supervision.start()
    await call.keep(jobs, SIGNALS)
    straight = None
    if args.without_outbox and layers.backend is not None:
        straight = Straight(call, layers.backend, watcher)
        jobs.start_watch("straight", lambda: straight.keep(jobs))
    tell(
        ready=call.writer.conversation_id,
        writer=call.writer.writer_id,
        source=call.recovered.source,
        took_ms=call.recovered.took_ms,
        remembered=[e.body.text for e in call.recovered.events if isinstance(e.body, Message)],
    )
    reason = await ScriptedCall(call).talk()
    call.recorder.spending.add(LISTENER)
    call.end(reason)
    await supervision.stop()
    if straight is not None:
        await straight.flush()
    tell(left=reason)


def main() -> int:
    """Serve one call."""
    parser = argparse.ArgumentParser(description="A job process whose caller is a pipe.")
    parser.add_argument("--key", required=True)
    parser.add_argument("--conversation", type=ConversationId, default=None)
    parser.add_argument("--without-outbox", action="store_true")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s"
    )
    asyncio.run(_run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
