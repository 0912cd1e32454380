"""Summaries of what left the window: by rules (no model needed), or by any language model."""

import re
from collections.abc import Sequence
from typing import Any

from livekit.agents import APIError
from livekit.agents.llm import LLM, ChatContext, CompletionUsage

from voice_agent.call.summaries import Summarised
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.domain.events import Message
from voice_agent.domain.usage import Usage
from voice_agent.providers.usage import llm_counts, named_usage

SENTENCES_MAX = 40
"""Of the extracted sentences the newest stay: some 600 words, a tenth of a small window."""
TELLING = re.compile(
    r"\b(?:my|our|i am|i'm|i live|i work|call me|number|address|email|born|appointment|order)\b"
    r"|\d",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]+")
_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
PROMPT = (
    "Summarise this part of a conversation for the assistant that continues it. Keep names, places,"
    " numbers, wishes and decisions. At most 150 words."
)


class RuleSummariser:
    """Extracts what people said that holds a name, a place, a number, or speaks of themselves."""

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        """Keep telling sentences in their own words, the newest ``SENTENCES_MAX``."""
        kept = previous.splitlines()
        for message in messages:
            if message.role != "user":
                continue
            for sentence in _SENTENCE.findall(message.text):
                line = f"They said: {sentence.strip()}"
                if (TELLING.search(sentence) or _NAME.search(sentence)) and line not in kept:
                    kept.append(line)
        return Summarised(text="\n".join(kept[-SENTENCES_MAX:]) or "Nothing of note was said.")


class ModelSummariser:
    """Asks a language model."""

    def __init__(self, llm: LLM[Any]) -> None:
        self._llm = llm

    async def summarise(self, previous: str, messages: Sequence[Message]) -> Summarised:
        """Ask for a new summary of the previous one and what was said since.

        Raises:
            LayerUnavailable: the model failed; nothing was lost, ask again with more.
        """
        said = "\n".join(f"{message.role}: {message.text}" for message in messages)
        context = ChatContext.empty()
        context.add_message(role="system", content=PROMPT)
        context.add_message(role="user", content=f"So far: {previous or 'nothing'}\n\n{said}")
        try:
            answer = await self._llm.chat(chat_ctx=context).collect()
        except APIError as exc:
            raise LayerUnavailable(layer="llm", op="summarise", detail=type(exc).__name__) from exc
        return Summarised(text=answer.text, usage=self._usage(answer.usage))

    def _usage(self, reported: CompletionUsage | None) -> Usage | None:
        """Say what it took: this model is none of the session's, which reports its own."""
        if reported is None:
            return None
        return named_usage("llm", self._llm.provider, self._llm.model, llm_counts(reported))
