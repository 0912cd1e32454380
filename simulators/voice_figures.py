"""Measure the embedded voice on this machine: load, memory, delays, concurrency.

    python -m simulators.voice_figures [--calls 1 2 4 8]

Starts a speech server of its own. Audio is pushed in real time, as a call would; delays count from
the last loud 10 ms that was pushed. With N calls, N callers speak at once and each asks for a
sentence of speech after every utterance, as an agent would.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
from livekit import rtc
from livekit.agents import stt

from voice_agent.providers.local import LocalSTT, LocalTTS

from . import ear

_FOLDER = Path("tests/fixtures/speech")
_FILES = ("name.wav", "time_tokyo.wav", "my_home.wav", "unknown.wav")
_REPLY = "Hello, I am Throughline. How can I help you?"
_STEP = 320  # bytes of 10 ms


async def one_call(ears: LocalSTT, voice: LocalTTS, delays: dict[str, list[float]]) -> None:
    """Say every file and speak a reply after each; note the delays."""
    loop = asyncio.get_running_loop()
    for name in _FILES:
        pcm, _ = ear.read_wav(_FOLDER / name)
        audio = bytes(16_000) + pcm + bytes(2 * 16_000)
        loud = [n for n, rms in enumerate(ear.loudness(audio, rate=16_000)) if rms > ear.LOUD]
        async with ears.stream() as stream:
            pushing = asyncio.create_task(_push(stream, audio, loud[-1]))
            async for event in stream:
                if event.type is stt.SpeechEventType.PREFLIGHT_TRANSCRIPT:
                    preflight_at = loop.time()
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    break
            final_at, ended_at = loop.time(), await pushing
        delays["final transcript"].append(final_at - ended_at)
        delays["preflight transcript"].append(preflight_at - ended_at)
        asked_at = loop.time()
        async with voice.synthesize(_REPLY) as speech:
            await anext(speech)
            delays["first audio"].append(loop.time() - asked_at)
            async for _ in speech:
                pass


async def _push(stream: stt.RecognizeStream, audio: bytes, last_loud: int) -> float:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for number in range(len(audio) // _STEP):
        await asyncio.sleep(began_at + (number + 1) * 0.01 - loop.time())
        part = audio[number * _STEP : (number + 1) * _STEP]
        stream.push_frame(rtc.AudioFrame(part, 16_000, 1, _STEP // 2))
    return began_at + (last_loud + 1) * 0.01


def line(name: str, values: Iterable[float]) -> str:
    """Return one line of the table."""
    ordered = sorted(values)
    late = ordered[int(0.95 * (len(ordered) - 1))]
    return f"  {name:22} median {statistics.median(ordered):.3f} s, p95 {late:.3f} s"


async def measure(calls: list[int]) -> None:
    """Print the table."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.sock"
        began_at = loop.time()
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_agent.providers.local.speech_server"),
            *("--socket", str(path)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert server.stdout is not None
            await server.stdout.readline()
            process = psutil.Process(server.pid)
            print(f"ready after {loop.time() - began_at:.2f} s, {_mib(process)}")
            for count in calls:
                await _round(path, count, process)
        finally:
            server.terminate()
            await server.wait()


async def _round(path: Path, count: int, process: psutil.Process) -> None:
    loop = asyncio.get_running_loop()
    delays: dict[str, list[float]] = {
        name: [] for name in ("preflight transcript", "final transcript", "first audio")
    }
    ears, voice = LocalSTT(socket_path=path), LocalTTS(socket_path=path)
    cpu_s, began_at = sum(process.cpu_times()[:2]), loop.time()
    await asyncio.gather(*(one_call(ears, voice, delays) for _ in range(count)))
    share = (sum(process.cpu_times()[:2]) - cpu_s) / (loop.time() - began_at)
    print(f"{count} calls at once: server {share:.2f} of a core, {_mib(process)}")
    for name, values in delays.items():
        print(line(name, values))


def _mib(process: psutil.Process) -> str:
    memory = process.memory_full_info()
    return f"RSS {memory.rss >> 20} MiB, USS {memory.uss >> 20} MiB"


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Measure the embedded voice.")
    parser.add_argument("--calls", nargs="*", type=int, default=[1, 2, 4, 8])
    asyncio.run(measure(parser.parse_args().calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
