"""The embedded voice: recognition, speech and replies without a key and without a network.

Parts, in the order a caller's words pass them:

- ``segments``       where an utterance begins, pauses and ends (pure)
- ``completeness``   whether a pause is likely to be the end (pure)
- ``stt``            LocalSTT: the framework's speech-to-text, over the speech server
- ``rules``, ``llm`` RuleLLM: replies by a table of rules. It is no language model and says so
- ``sentences``      where a reply is cut for speaking (pure)
- ``tts``            LocalTTS: the framework's text-to-speech, over the speech server
- ``speech_client``  one request to the speech server
- ``wire``           what client and server say to each other (pure)
- ``lanes``          who is served first when several calls want the same model
- ``models``         the native models themselves; imported by the speech server alone
- ``speech_server``  the program that loads the models once per worker

Importing this package loads no model and no native library: job processes stay light. If the
speech server is away, LocalSTT keeps the audio of the running utterance and decodes it when the
server is back; LocalTTS lets the framework retry.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .llm import RuleLLM as RuleLLM
    from .speech_client import SpeechClient as SpeechClient
    from .stt import LocalSTT as LocalSTT
    from .tts import LocalTTS as LocalTTS

_HOME = {"LocalSTT": "stt", "LocalTTS": "tts", "RuleLLM": "llm", "SpeechClient": "speech_client"}

__all__ = ["LocalSTT", "LocalTTS", "RuleLLM", "SpeechClient"]


def __getattr__(name: str) -> object:
    """Import a part when it is first asked for: the speech server needs none of livekit-agents."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
