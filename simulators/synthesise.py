"""Make the spoken fixtures from their list, with the local voice.

    python -m simulators.synthesise [--folder tests/fixtures/speech] [--only NAME ...]

Each file is made anew until the recogniser hears the words that were written (a voice like Piper's
says the same words a little differently each time), so that a test that goes wrong later is about
the program and not about the fixture. Parts of a sentence are joined by exactly ``pause_s`` of
digital silence, measured between the last and the first loud 10 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import av
import numpy as np

from voice_agent.providers.local.completeness import is_complete
from voice_agent.providers.local.models import Recogniser, Voice
from voice_agent.providers.local.wire import RECOGNITION_RATE

from . import ear

_LOUD = 60.0
_MARGIN_S = 0.05  # kept round the speech; files hold no more silence than that
_ATTEMPTS = 40


class Fixture(TypedDict, total=False):
    """One entry of fixtures.json."""

    say: list[str]
    pause_s: float


def fixtures(folder: Path) -> dict[str, Fixture]:
    """Return file name → what it says."""
    listed: dict[str, Fixture] = json.loads((folder / "fixtures.json").read_text("utf-8"))
    return listed


def text(fixture: Fixture) -> str:
    """Return all words of ``fixture``."""
    return " ".join(fixture["say"])


def trimmed(pcm: bytes, *, before_s: float, after_s: float) -> bytes:
    """Cut 16 kHz ``pcm`` to its loud part and exactly these silences round it."""
    loud = [n for n, rms in enumerate(ear.loudness(pcm, rate=RECOGNITION_RATE)) if rms > _LOUD]
    if not loud:
        raise ValueError("silence where speech was expected")
    step = 2 * RECOGNITION_RATE // 100
    speech = pcm[loud[0] * step : (loud[-1] + 1) * step]
    return _silence(before_s) + speech + _silence(after_s)


def _silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RECOGNITION_RATE))


def speak(voice: Voice, fixture: Fixture) -> bytes:
    """Return ``fixture`` as 16 kHz PCM."""
    parts = [
        trimmed(ear.resampled(voice.speak(part), voice.sample_rate), before_s=0, after_s=0)
        for part in fixture["say"]
    ]
    joined = _silence(fixture.get("pause_s", 0.0)).join(parts)
    return _silence(_MARGIN_S) + joined + _silence(_MARGIN_S)


def heard_right(recogniser: Recogniser, fixture: Fixture, pcm: bytes) -> bool:
    """Whether the recogniser hears the fixture's words, whole and cut at its pause."""
    expected = ear.words(text(fixture))
    if any(ear.words(recogniser.recognise(way)) != expected for way in ways(pcm)):
        return False
    in_parts = ear.words(" ".join(recogniser.recognise(part) for part in ear.utterances(pcm)))
    if "pause_s" in fixture:
        # the pause must lie where the words cannot stand alone, also as they are recognised
        before = recogniser.recognise(ear.utterances(pcm)[0])
        if is_complete(before):
            print(f"  heard before the pause: {before!r}")
            return False
    return in_parts == expected


def ways(pcm: bytes) -> Iterator[bytes]:
    """Yield ``pcm`` as it may arrive: with more or less silence, with noise, through a call."""
    for before_s, after_s in ((0.0, 0.0), (0.3, 0.13), (0.25, 0.26), (0.28, 0.1)):
        yield _silence(before_s) + pcm + _silence(after_s)
    samples = np.frombuffer(pcm, dtype="<i2")
    noise = np.random.default_rng(7).normal(0.0, 40.0, len(samples))
    yield np.clip(samples + noise, -32768, 32767).astype("<i2").tobytes()
    for before_s, after_s in ((0.2, 0.2), (0.313, 0.137)):
        yield through_opus(_silence(before_s) + pcm + _silence(after_s))


def through_opus(pcm: bytes) -> bytes:
    """Return 16 kHz ``pcm`` as it sounds after WebRTC's codec at the bit rate of speech."""
    wide = ear.resampled(pcm, RECOGNITION_RATE, wanted_rate=48_000)
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.bit_rate = 24_000
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    samples = np.frombuffer(wide, dtype="<i2")
    samples = samples[: len(samples) // 960 * 960].reshape(-1, 1, 960)
    heard: list[bytes] = []
    for number, chunk in enumerate(samples):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, number * 960
        for packet in encoder.encode(frame):
            heard.extend(_s16(decoded) for decoded in decoder.decode(packet))
    return ear.resampled(b"".join(heard), 48_000)


def _s16(frame: av.AudioFrame) -> bytes:
    samples = frame.to_ndarray()[0]
    if samples.dtype != np.int16:
        samples = np.clip(samples * 32767, -32768, 32767)
    return bytes(samples.astype("<i2").tobytes())


def make(folder: Path, only: list[str]) -> int:
    """Write the files; 1 if one is never heard right."""
    voice, recogniser = Voice(), Recogniser()
    wrong = 0
    for name, fixture in fixtures(folder).items():
        if only and name not in only:
            continue
        for attempt in range(1, _ATTEMPTS + 1):
            pcm = speak(voice, fixture)
            if heard_right(recogniser, fixture, pcm):
                ear.write_wav(folder / name, pcm, rate=RECOGNITION_RATE)
                seconds = len(pcm) / 2 / RECOGNITION_RATE
                print(f"{name}: {seconds:.2f} s, attempt {attempt}: {text(fixture)}")
                break
        else:
            wrong += 1
            print(
                f"{name}: heard {recogniser.recognise(pcm)!r}, wanted {text(fixture)!r}: reword it"
            )
    return 1 if wrong else 0


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Make the spoken fixtures.")
    parser.add_argument("--folder", type=Path, default=Path("tests/fixtures/speech"))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    args = parser.parse_args()
    return make(args.folder, args.only)


if __name__ == "__main__":
    sys.exit(main())
