"""A Gemini session that is lost and resumed: how long it takes and how many bytes are sent.

    python -m benchmarks.gemini_resume [--quick]

- from the cut to the first word that the service hears again, against its setup time (0.3 s)
- bytes sent after a resume with one new item, of the longest conversation against the shortest,
  and against what a fresh session is told
- the time to compare the two ledgers of the longest conversation, for the eye
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import warnings
from dataclasses import dataclass

from livekit import rtc
from livekit.agents import llm

from benchmarks import machine
from benchmarks.figures import Figure, conclude, median, parser
from simulators.gemini import spoken
from simulators.gemini.behaviour import Behaviour
from simulators.gemini.server import GeminiServer
from voice_agent.providers.gemini import Limits, Options, Outcome, RealtimeModel, prepare
from voice_agent.providers.gemini.memory import Memory

SETUP_S = 0.3
TEXT = "the order was sent on monday and has not come yet please look where it is now"
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Resumed:
    """One conversation, seeded, cut and resumed."""

    fresh_bytes: int
    resumed_bytes: int
    again_s: list[float]


def history(count: int) -> llm.ChatContext:
    """Return a conversation of ``count`` items."""
    context = llm.ChatContext.empty()
    for n in range(count):
        context.add_message(role="assistant" if n % 2 else "user", content=f"{n} {TEXT}")
    return context


async def until(look: object) -> None:
    """Wait until ``look()`` is true."""
    assert callable(look)
    async with asyncio.timeout(DEADLINE_S):
        while not look():  # noqa: ASYNC110 - what it looks at belongs to a server
            await asyncio.sleep(0.001)


def speak(session: llm.RealtimeSession[object], word: str) -> None:
    """Say one word."""
    for pcm in spoken.speak(word):
        session.push_audio(rtc.AudioFrame(pcm, 16_000, 1, 800))


async def resume(count: int, rounds: int) -> Resumed:
    """Seed ``count`` items, then cut and resume ``rounds`` times with one new item each."""
    outcomes: list[Outcome] = []
    server = GeminiServer(behaviour=Behaviour(setup_s=SETUP_S))
    async with server.serving():
        model = RealtimeModel(
            model="gemini-2.5-flash-native-audio-preview-12-2025",
            api_key="none",
            http_options=server.http_options,
            options=Options(
                limits=Limits(seed_most_chars=10**9, settled_s=0.1), on_outcome=outcomes.append
            ),
        )  # fmt: skip
        session = model.session()
        await session.update_chat_ctx(history(count))
        await until(lambda: server.is_connected and len(server.conversation.lines) == count)
        fresh = server.now.received_bytes
        speak(session, "begin")
        await until(lambda: server.frozen)
        again_s: list[float] = []
        sent: list[int] = []
        for n in range(rounds):
            await until(lambda: server.now.is_idle)
            await asyncio.sleep(0.1)
            count_before, frozen = len(server.connections), len(server.frozen)
            began = time.perf_counter()
            server.now.cut()
            context = session.chat_ctx
            context.add_message(role="user", content=f"new {n} {TEXT}")
            await session.update_chat_ctx(context)
            speak(session, f"word{n}")
            await until(
                lambda before=count_before: (
                    len(server.connections) > before
                    and any("realtime_input" in one for one in server.now.received)
                )
            )
            again_s.append(time.perf_counter() - began)
            sent.append(
                sum(len(str(one)) for one in server.now.received if "client_content" in one)
            )
            await until(lambda before=frozen: len(server.frozen) > before)
        await session.aclose()
    assert {one.kind for one in outcomes} == {"resynced"}, outcomes
    return Resumed(fresh, round(median(sent)), again_s)


def compare_s(count: int) -> float:
    """Measure one comparison of the ledgers."""
    memory = Memory()
    memory.connected(resumed=False)
    memory.hand_over(history(count))
    memory.sent(memory.difference().items)
    began = time.perf_counter()
    assert not memory.difference().items
    return time.perf_counter() - began


def main() -> int:
    """Measure and print."""
    args = parser(__doc__.partition("\n")[0]).parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    machine.wait_quiet(args.patience_s)
    prepare()
    most = 1_000 if args.quick else 10_000
    rounds = 3 if args.quick else 9
    short, long = asyncio.run(resume(10, rounds)), asyncio.run(resume(most, rounds))
    figures = [
        Figure(name=f"cut to heard again / setup, {count:,} items",
               value=median(one.again_s) / SETUP_S, at_most=1.2,
               detail=f"{1000 * median(one.again_s):.0f} ms of which setup 300 ms")
        for count, one in ((10, short), (most, long))
    ]  # fmt: skip
    figures += [
        Figure(name=f"bytes on resume, {most:,} items / 10 items",
               value=long.resumed_bytes / short.resumed_bytes, at_most=1.1,
               detail=f"{long.resumed_bytes} and {short.resumed_bytes} bytes"),
        Figure(name=f"bytes on resume / told anew, {most:,} items",
               value=long.resumed_bytes / long.fresh_bytes, at_most=0.01,
               detail=f"{long.resumed_bytes} and {long.fresh_bytes:,} bytes"),
        Figure(name=f"comparing {most:,} items (ms)", value=1000 * compare_s(most)),
    ]  # fmt: skip
    return conclude(f"Gemini resume; {machine.described()}", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
