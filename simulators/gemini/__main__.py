"""Serve the stand-in with ears and a voice: what ``dev.py run --gemini`` starts.

    python -m simulators.gemini --folder .run/gemini [--port 8443] [--socket PATH]

It prints the settings with which the agent uses it. ``--socket``: the speech process of a worker
that runs; without it one is started. It understands as much as the embedded voice: fifteen rules.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from livekit import rtc
from livekit.agents import llm

from simulators.gemini.certificate import contexts
from simulators.gemini.conversation import Conversation
from simulators.gemini.mind import Say, Use
from simulators.gemini.senses import IN_RATE, OUT_RATE, Listening, recognised
from simulators.gemini.server import GeminiServer, Voice
from voice_agent.providers.local import LocalTTS, rules

READY_S = 30.0


class RuleMind:
    """Answers by the rules of the embedded voice."""

    def next(self, conversation: Conversation, tools: frozenset[str]) -> Say | Use:
        """Answer what was said last."""
        lines = [one for one in conversation.lines if one.text != "."]
        last = lines[-1] if lines else None
        if last is not None and last.role == "tool":
            return Say(rules.after_tool(last.text.partition(" = ")[2], is_error=False))
        said = [one.text for one in lines if one.role == "user" and not one.trigger]
        replied = [one.text for one in lines if one.role == "model" and not one.trigger]
        asked = last is not None and last.role == "user" and not last.trigger
        dialogue = rules.Dialogue(
            now=said.pop() if asked else "",
            said=tuple(said),
            replied=tuple(replied),
            tools=tools,
        )
        if not asked:
            order = rules.instructed(last.text, dialogue) if last is not None else None
            return Say(order if isinstance(order, str) else "Go on, I am listening.")
        answer = rules.reply(dialogue)
        if isinstance(answer, rules.ToolWanted):
            return Use(answer.name, llm.utils.parse_function_arguments(answer.arguments))
        return Say(answer)


def piper(socket: Path) -> Voice:
    """Speak through a speech process."""
    tts = LocalTTS(socket_path=socket)

    async def voice(text: str) -> AsyncIterator[tuple[str, bytes]]:
        words = text.split()
        sound = [piece async for piece in _resampled(tts, text)]
        share = max(1, len(sound) // max(1, len(words)))
        for n, word in enumerate(words):
            last = n == len(words) - 1
            yield word, b"".join(sound[n * share :] if last else sound[n * share : (n + 1) * share])

    return voice


async def _resampled(tts: LocalTTS, text: str) -> AsyncIterator[bytes]:
    resampler = rtc.AudioResampler(input_rate=tts.sample_rate, output_rate=OUT_RATE)
    async with tts.synthesize(text) as stream:
        async for made in stream:
            for frame in resampler.push(made.frame):
                yield frame.data.tobytes()
    for frame in resampler.flush():
        yield frame.data.tobytes()


@contextlib.asynccontextmanager
async def speech_process(socket: Path) -> AsyncIterator[None]:
    """Run the embedded voice for the length of an ``async with`` block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_agent.providers.local.speech_server", "--socket", str(socket)
    )
    try:
        await asyncio.to_thread(_wait_for, socket)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _wait_for(socket: Path) -> None:
    until = time.monotonic() + READY_S
    while not socket.exists():
        if time.monotonic() > until:
            raise SystemExit(f"the speech process is not ready after {READY_S:.0f} s")
        time.sleep(0.05)


async def serve(folder: Path, port: int, socket: Path | None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        if socket is None:
            # not in the folder: the path of a socket may have a hundred characters only
            short = stack.enter_context(tempfile.TemporaryDirectory(prefix="gemini-"))
            socket = Path(short) / "speech.sock"
            await stack.enter_async_context(speech_process(socket))
        await recognised(bytes(IN_RATE))  # loads the recogniser before the first call
        server = GeminiServer(
            mind=RuleMind(),
            voice=piper(socket),
            ears=Listening(recognised),
            tls=contexts(folder),
        )
        await stack.enter_async_context(server.serving(port=port))
        print(
            f"export VOICE_PROVIDER=gemini GOOGLE_API_KEY=none"
            f" VOICE_GEMINI__BASE_URL={server.url}"
            f" VOICE_GEMINI__CA_FILE={(folder / 'certificate.pem').resolve()}",
            flush=True,
        )
        print("the stand-in listens", flush=True)
        await stopping.wait()


def main() -> int:
    """Serve the stand-in."""
    parser = argparse.ArgumentParser(prog="python -m simulators.gemini", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for certificate and socket")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--socket", type=Path, help="of a speech process that runs")
    args = parser.parse_args()
    asyncio.run(serve(args.folder, args.port, args.socket))
    return 0


if __name__ == "__main__":
    sys.exit(main())
