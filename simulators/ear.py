"""What a recording says: Moonshine in threads of its own, for callers and tests.

    python -m simulators.ear heard.wav [more.wav ...]

A recogniser apart from the agent's, so that a test of what was heard does not go through the
program under test.
"""

from __future__ import annotations

import asyncio
import re
import string
import sys
import threading
import wave
from functools import cache
from pathlib import Path

import numpy as np

from voice_agent.providers.local import rules
from voice_agent.providers.local.models import Recogniser
from voice_agent.providers.local.wire import RECOGNITION_RATE

_MEND = str.maketrans("", "", string.punctuation.replace("'", ""))
_NUMBERS = dict(zip(map(str, range(1, 21)), rules.NUMBERS, strict=True))
_LOADING = threading.Lock()
_GAP_S = 0.35  # silence at which a long recording is cut before it is recognised
LOUD = 250.0  # RMS of 16 bit samples above which 10 ms are speech


@cache
def _recogniser() -> Recogniser:
    return Recogniser()


def words(text: str) -> list[str]:
    """Return the words of ``text`` for comparing: without case, punctuation, digits."""
    plain = text.lower().replace("-", " ").replace("’", "'").translate(_MEND)
    return [_NUMBERS.get(word, word) for word in plain.split()]


async def recognise(pcm: bytes, *, rate: int) -> str:
    """Return what ``pcm`` (mono, 16 bit) says; empty when there is no speech in it."""
    return await asyncio.to_thread(recognise_blocking, pcm, rate=rate)


def recognise_blocking(pcm: bytes, *, rate: int) -> str:
    """Do what ``recognise`` does, on this thread."""
    with _LOADING:
        recogniser = _recogniser()
    spoken = [recogniser.recognise(part) for part in utterances(resampled(pcm, rate))]
    return re.sub(r"\s+", " ", " ".join(spoken)).strip()


def resampled(pcm: bytes, rate: int, *, wanted_rate: int = RECOGNITION_RATE) -> bytes:
    """Return ``pcm`` at another rate, without aliasing."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    if rate == wanted_rate or not len(samples):
        return pcm
    spectrum = np.fft.rfft(samples)
    wanted = round(len(samples) * wanted_rate / rate)
    kept = np.zeros(wanted // 2 + 1, dtype=complex)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    out = np.fft.irfft(kept, n=wanted) * (wanted / len(samples))
    return np.clip(np.round(out), -32768, 32767).astype("<i2").tobytes()


def loudness(pcm: bytes, *, rate: int) -> list[float]:
    """Return the RMS of each 10 ms of ``pcm``."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    window = rate // 100
    whole = samples[: len(samples) // window * window].reshape(-1, window)
    return [float(rms) for rms in np.sqrt((whole**2).mean(axis=1))] if len(whole) else []


def utterances(pcm: bytes) -> list[bytes]:
    """Cut 16 kHz ``pcm`` at silences, as the recogniser likes it; drop what holds no speech."""
    loud = [n for n, rms in enumerate(loudness(pcm, rate=RECOGNITION_RATE)) if rms > LOUD]
    if not loud:
        return []
    runs = [[loud[0], loud[0]]]
    for n in loud[1:]:
        if (n - runs[-1][1]) / 100 > _GAP_S:
            runs.append([n, n])
        runs[-1][1] = n
    margin, step = 15, 2 * RECOGNITION_RATE // 100
    return [pcm[max(0, a - margin) * step : (b + margin) * step] for a, b in runs]


def read_wav(path: Path) -> tuple[bytes, int]:
    """Return the PCM and the rate of a mono 16 bit WAV file."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise ValueError(f"{path} is not mono 16 bit: convert it first")
        return file.readframes(file.getnframes()), file.getframerate()


def write_wav(path: Path, pcm: bytes, *, rate: int) -> None:
    """Write mono 16 bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)


def main(paths: list[str]) -> int:
    """Print what each file says."""
    for path in paths:
        pcm, rate = read_wav(Path(path))
        print(f"{path}: {recognise_blocking(pcm, rate=rate)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
