"""A handoff carries the context and does not greet (S1.25, S1.26). A real AgentSession, no room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from livekit.agents import AgentSession, function_tool
from livekit.agents.llm import ChatContext, ChatMessage

from voice_agent.bootstrap.job import read_persona
from voice_agent.call.opening import Opening
from voice_agent.providers.local import RuleLLM
from voice_agent.room.agent import CallSide, VoiceAgent

PERSONA = read_persona(Path(__file__).parents[3] / "config" / "agent.toml")


def first_agent(opening: Opening) -> VoiceAgent:
    return VoiceAgent(
        persona=PERSONA,
        caller="Ada",
        context=ChatContext.empty(),
        first=opening,
        tools=[],
        call=CallSide(can_be_heard=lambda: True),
    )


@pytest.fixture
async def session() -> AsyncIterator[AgentSession[None]]:
    async with AgentSession[None](
        llm=RuleLLM(), vad=None, turn_handling={"turn_detection": None}
    ) as made:
        yield made


def said(session: AgentSession[None]) -> list[str]:
    return [
        item.text_content or ""
        for item in session.history.items
        if isinstance(item, ChatMessage) and item.role == "assistant"
    ]


async def test_a_handoff_carries_what_was_said_and_greets_nobody(
    session: AgentSession[None],
) -> None:
    agent = first_agent(Opening.SILENT)
    await session.start(agent)
    await session.run(user_input="My name is Ada Lovelace.")
    session.update_agent(agent.successor(instructions="You are {agent}, for bills. {caller}"))
    await session.run(user_input="What is my name?")
    lines = said(session)
    assert "Ada Lovelace" in lines[-1]
    assert len(lines) == 2
    assert "for bills" in str(session.current_agent.instructions)


async def test_only_the_first_agent_greets(session: AgentSession[None]) -> None:
    agent = first_agent(Opening.GREET)
    await session.start(agent)
    await session.run(user_input="Thank you.")
    session.update_agent(agent.successor(instructions="x"))
    await session.run(user_input="Thank you.")
    assert sum("How can I help" in line for line in said(session)) == 1


def test_tools_are_kept_unless_others_are_given() -> None:
    @function_tool
    async def only_here() -> str:
        """A tool of the second agent."""
        return "x"

    heir = first_agent(Opening.SILENT).successor(instructions="x", tools=[only_here])
    assert heir.tools == [only_here]
