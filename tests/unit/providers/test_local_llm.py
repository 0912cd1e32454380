"""RuleLLM inside a real AgentSession, in text: tools, orders, and a restored history."""

from __future__ import annotations

import json

import pytest
from livekit.agents import Agent, AgentSession, RunResult, function_tool, llm

from voice_agent.providers.local import RuleLLM

pytestmark = pytest.mark.timeout(30)


class Clerk(Agent):
    """An agent with the one tool that the rules know."""

    def __init__(self, chat_ctx: llm.ChatContext | None = None) -> None:
        super().__init__(instructions="You are kind.", chat_ctx=chat_ctx)
        self.asked_for: list[str | None] = []

    @function_tool
    async def current_time(self, city: str | None = None) -> str:
        """Tell the time."""
        self.asked_for.append(city)
        return "It is five past ten."


def session() -> AgentSession[None]:
    return AgentSession(llm=RuleLLM(), vad=None, turn_handling={"turn_detection": None})


async def test_the_time_comes_from_the_tool() -> None:
    clerk = Clerk()
    async with session() as talk:
        await talk.start(clerk)
        result: RunResult[None] = await talk.run(user_input="What time is it in Tokyo?")
        result.expect.next_event().is_function_call(
            name="current_time", arguments={"city": "Tokyo"}
        )
        result.expect.next_event().is_function_call_output(output="It is five past ten.")
        result.expect.next_event().is_message(role="assistant")
        said = talk.history.messages()[-1].text_content
    assert said == "It is five past ten."
    assert clerk.asked_for == ["Tokyo"]


async def test_an_agent_without_the_tool_says_that_it_has_none() -> None:
    async with session() as talk:
        await talk.start(Agent(instructions="You are kind."))
        result: RunResult[None] = await talk.run(user_input="What time is it?")
        message = result.expect.next_event().is_message(role="assistant").event().item
        assert message.text_content == "I cannot tell the time here: I was not given a clock."


async def test_a_restored_history_answers_who_am_i_and_what_did_i_say() -> None:
    told = llm.ChatContext.empty()
    told.add_message(role="user", content="My name is Ada Lovelace.")
    told.add_message(role="assistant", content="Nice to meet you.")
    told.add_message(role="user", content="The garden is green.")
    told.add_message(role="assistant", content="I heard you.")
    restored = llm.ChatContext.from_dict(json.loads(json.dumps(told.to_dict())))
    async with session() as talk:
        await talk.start(Clerk(chat_ctx=restored))
        await talk.run(user_input="What did I say?")
        await talk.run(user_input="What is my name?")
        replies = [m.text_content for m in talk.history.messages() if m.role == "assistant"]
    assert replies == ['You said: "The garden is green."', "Your name is Ada Lovelace."]


async def test_orders_given_with_generate_reply_are_followed() -> None:
    history = llm.ChatContext.empty()
    history.add_message(role="user", content="I like tea.")
    async with session() as talk:
        await talk.start(Clerk(chat_ctx=history))
        for order in ("Greet the caller.", "Resume the call.", "Say exactly: One moment."):
            await talk.generate_reply(instructions=order)
        replies = [m.text_content for m in talk.history.messages() if m.role == "assistant"]
    assert replies == [
        "Hello, I am Throughline. How can I help you?",
        'I am back. The last thing I heard was: "I like tea."',
        "One moment.",
    ]


async def test_a_reply_streams_word_by_word() -> None:
    asked = llm.ChatContext.empty()
    asked.add_message(role="user", content="Hello.")
    parts: list[str] = []
    async with RuleLLM().chat(chat_ctx=asked) as stream:
        async for chunk in stream:
            if chunk.delta and chunk.delta.content:
                parts.append(chunk.delta.content)
    assert parts == ["Hello. ", "How ", "can ", "I ", "help ", "you?"]


async def test_facts_looked_up_for_a_reply_do_not_hide_the_question() -> None:
    asked = llm.ChatContext.empty()
    asked.add_message(role="user", content="What is my name?")
    asked.add_message(role="system", content="The caller's plan is Gold.")
    async with RuleLLM().chat(chat_ctx=asked) as stream:
        reply = (await stream.collect()).text
    assert reply == "You have not told me your name yet."
