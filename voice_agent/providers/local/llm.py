"""RuleLLM: replies by the table in ``rules``, through the framework's interface for models.

It stands where a language model would stand, so that everything round it (tools, streaming,
history, interruption) is the real thing. Nothing is lost when it fails: it keeps nothing.
"""

from __future__ import annotations

import re
from typing import Any

from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
    llm,
    utils,
)

from . import rules

_WORDS = re.compile(r"\S+\s*")


class RuleLLM(llm.LLM[Any]):  # Any: it has no events of its own
    """Answers about a dozen intents; it is no language model and says so."""

    @property
    def model(self) -> str:
        """The model's name, for metrics."""
        return "rules"

    @property
    def provider(self) -> str:
        """The provider's name, for metrics."""
        return "local"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> RuleStream:
        """Answer the newest message of ``chat_ctx``."""
        del parallel_tool_calls, extra_kwargs  # one call at a time, and nothing to tune
        usable = [] if tool_choice == "none" else tools or []
        return RuleStream(self, chat_ctx=chat_ctx, tools=usable, conn_options=conn_options)


class RuleStream(llm.LLMStream):
    """One reply, word by word."""

    async def _run(self) -> None:
        answer = respond(self._chat_ctx, self._tools)
        answer_id = utils.shortuuid()
        words = 1
        if isinstance(answer, rules.ToolWanted):
            call = llm.FunctionToolCall(
                name=answer.name, arguments=answer.arguments, call_id=utils.shortuuid("call_")
            )
            self._send(answer_id, llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        else:
            parts = _WORDS.findall(answer)
            words = len(parts)
            for part in parts:
                self._send(answer_id, llm.ChoiceDelta(role="assistant", content=part))
        usage = llm.CompletionUsage(completion_tokens=words, prompt_tokens=0, total_tokens=words)
        self._event_ch.send_nowait(llm.ChatChunk(id=answer_id, usage=usage))

    def _send(self, answer_id: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=answer_id, delta=delta))


def respond(chat_ctx: llm.ChatContext, tools: list[llm.Tool]) -> rules.Reply:
    """Decide the reply to the newest item of ``chat_ctx``."""
    items = [item for item in chat_ctx.items if item.type in ("message", "function_call_output")]
    last = items[-1] if items else None
    if isinstance(last, llm.FunctionCallOutput):
        return rules.after_tool(last.output, is_error=last.is_error)
    messages = [item for item in items if isinstance(item, llm.ChatMessage)]
    dialogue = _dialogue(messages, tools)
    if messages and messages[-1].role in ("system", "developer"):
        order = rules.instructed(messages[-1].raw_text_content or "", dialogue)
        if order is not None:
            return order
    return rules.reply(dialogue) if dialogue.now else "I am listening."


def _dialogue(messages: list[llm.ChatMessage], tools: list[llm.Tool]) -> rules.Dialogue:
    said: list[str] = []
    replied: list[str] = []
    answered = True  # whether the agent spoke after the last thing that was said
    for message in messages:
        text = (message.raw_text_content or "").strip()
        if not text or message.role not in ("user", "assistant"):
            continue
        answered = message.role == "assistant"
        (replied if answered else said).append(text)
    now = "" if answered else said.pop()
    return rules.Dialogue(
        now=now,
        said=tuple(said),
        replied=tuple(replied),
        tools=frozenset(tool.info.name for tool in tools if llm.is_function_tool(tool)),
    )
