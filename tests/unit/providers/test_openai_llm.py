"""The scripted OpenAI server, asked by the plugin that production uses."""

from __future__ import annotations

import pytest
from livekit.agents import Agent, AgentSession, APIConnectOptions, APIError, function_tool, llm
from livekit.plugins import openai

from simulators.openai_llm import ScriptedServer, Step
from voice_agent.domain.events import Message
from voice_agent.providers.summaries import ModelSummariser

pytestmark = pytest.mark.timeout(30)


class Clerk(Agent):
    """An agent with one tool."""

    def __init__(self) -> None:
        super().__init__(instructions="You are kind.")

    @function_tool
    async def current_time(self, city: str | None = None) -> str:
        """Tell the time."""
        return f"ten past five in {city}"


async def test_words_stream_and_a_tool_is_called_by_the_real_plugin() -> None:
    server = ScriptedServer(
        [
            Step(text="Hello there, Ada."),
            Step(tool="current_time", arguments={"city": "Tokyo"}),
            Step(text="It is ten past five."),
        ]
    )
    async with server.serving():
        model = openai.LLM(model="scripted", base_url=server.base_url, api_key="none")
        async with AgentSession(
            llm=model, vad=None, turn_handling={"turn_detection": None}
        ) as talk:
            await talk.start(Clerk())
            await talk.run(user_input="Hello")
            await talk.run(user_input="What time is it in Tokyo?")
            replies = [m.text_content for m in talk.history.messages() if m.role == "assistant"]
        await model.aclose()
    assert replies == ["Hello there, Ada.", "It is ten past five."]
    last = server.requests[-1]["messages"]
    assert last[-1]["role"] == "tool"
    assert "ten past five in Tokyo" in last[-1]["content"]
    assert all(request["stream"] for request in server.requests)


async def test_a_scripted_failure_reaches_the_client_and_the_next_step_answers() -> None:
    server = ScriptedServer([Step(status=503), Step(text="Back again.")])
    asked = llm.ChatContext.empty()
    asked.add_message(role="user", content="Hello")
    once = APIConnectOptions(max_retry=0)
    async with server.serving():
        model = openai.LLM(model="scripted", base_url=server.base_url, api_key="none")
        with pytest.raises(APIError):
            async with model.chat(chat_ctx=asked, conn_options=once) as stream:
                await stream.collect()
        async with model.chat(chat_ctx=asked, conn_options=once) as stream:
            assert (await stream.collect()).text == "Back again."
        await model.aclose()


async def test_a_summary_by_a_model_says_what_it_took() -> None:
    server = ScriptedServer([Step(text="Ada lives in London.")])
    async with server.serving():
        model = openai.LLM(model="scripted", base_url=server.base_url, api_key="none")
        said = [Message(role="user", text="I live in London.")]
        made = await ModelSummariser(model).summarise("", said)
        await model.aclose()
    assert made.text == "Ada lives in London."
    assert made.usage is not None
    assert (made.usage.service, made.usage.model) == ("llm", "scripted")
    assert made.usage.counts["requests"] == 1
    assert made.usage.counts["output_tokens"] > 0
