"""Fixtures of speech, pushed into a recognition stream."""

from __future__ import annotations

import json
from pathlib import Path

from livekit import rtc
from livekit.agents import stt

from simulators import ear

FOLDER = Path(__file__).parents[2] / "fixtures" / "speech"
RATE = 16_000
FRAME_BYTES = 2 * RATE // 100
SILENCE = bytes(FRAME_BYTES)
FIXTURES: dict[str, dict[str, list[str]]] = json.loads(
    (FOLDER / "fixtures.json").read_text("utf-8")
)


def text(name: str) -> str:
    """Return what a fixture says."""
    return " ".join(FIXTURES[name]["say"])


def frames(name: str, *, before_s: float = 0.5, after_s: float = 1.2) -> list[bytes]:
    """Return a fixture as 10 ms of PCM each, with silence round it."""
    pcm, rate = ear.read_wav(FOLDER / name)
    assert rate == RATE
    speech = [pcm[n : n + FRAME_BYTES] for n in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]
    return [SILENCE] * round(before_s * 100) + speech + [SILENCE] * round(after_s * 100)


def push(stream: stt.RecognizeStream, audio: list[bytes]) -> None:
    """Push 10 ms frames as fast as they can be taken: the stream counts audio, not time."""
    for pcm in audio:
        stream.push_frame(rtc.AudioFrame(pcm, RATE, 1, len(pcm) // 2))
