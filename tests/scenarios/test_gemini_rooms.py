"""A real AgentSession with Gemini's stand-in, in a real room, with real sound, cut in mid-call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from livekit import api, rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.llm import ChatMessage, FunctionCallOutput

from devtools.servers.livekit import LiveKitServer
from simulators.caller import Caller
from simulators.gemini.behaviour import Behaviour, Drop, Refusal
from simulators.gemini.senses import Listening, Understand, beeps, scripted
from simulators.gemini.server import GeminiServer
from tests.gemini.talking import QUICK, look_up
from tests.support.waiting import wait_for
from voice_agent.providers.gemini import Options, Outcome, RealtimeModel, prepare

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]
WITHIN_S = 15.0


@pytest.fixture(scope="module", autouse=True)
def gemini_prepared() -> None:
    prepare()


class Room:
    """One call: agent and caller."""

    def __init__(self, server: GeminiServer, session: AgentSession[None], caller: Caller) -> None:
        self.server = server
        self.session = session
        self.caller = caller
        self.outcomes: list[Outcome] = []
        self.closed: list[object] = []
        session.on("close", self.closed.append)

    @property
    def agent_lines(self) -> list[tuple[str, str]]:
        """The agent's own conversation, as livekit-agents keeps it."""
        lines: list[tuple[str, str]] = []
        agent = self.session.current_agent
        for item in agent.chat_ctx.items:
            if isinstance(item, ChatMessage) and item.text_content and item.role != "system":
                role = "model" if item.role == "assistant" else "user"
                lines.append((role, item.text_content))
            elif isinstance(item, FunctionCallOutput):
                lines.append(("tool", f"look_up(word=fee) = {item.output}"))
        return lines

    @property
    def rests(self) -> bool:
        """Whether the service is there and waits for words."""
        return self.server.is_connected and self.server.now.is_idle

    async def remembered(self, *last: tuple[str, str]) -> None:
        """Wait until agent and service have the same conversation, ending so."""
        await wait_for(
            lambda: (
                self.agent_lines[-len(last) :] == list(last)
                and self.server.is_connected
                and self.server.conversation.said == self.agent_lines
            ),
            within_s=WITHIN_S,
            what=f"{last} in {self.agent_lines} and {self.server.conversation.said}",
        )


def token(server: LiveKitServer, name: str) -> str:
    env = server.env
    made = api.AccessToken(env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]).with_identity(name)
    if name == "agent":
        made = made.with_kind("agent")
    return made.with_grants(api.VideoGrants(room_join=True, room="gemini", agent=True)).to_jwt()


@contextlib.asynccontextmanager
async def in_a_room(
    livekit: LiveKitServer, texts: list[str] | Understand, **options: Any
) -> AsyncIterator[Room]:
    understand = scripted(texts) if isinstance(texts, list) else texts
    server = GeminiServer(behaviour=Behaviour(), ears=Listening(understand), voice=beeps)
    async with server.serving():
        outcomes: list[Outcome] = []
        model = RealtimeModel(
            api_key="none", http_options=server.http_options,
            options=Options(limits=QUICK, on_outcome=outcomes.append, **options),
        )  # fmt: skip
        session: AgentSession[None] = AgentSession(llm=model)
        room = rtc.Room()
        await room.connect(livekit.url, token(livekit, "agent"))
        async with Caller.join(livekit.url, token(livekit, "caller")) as caller:
            await session.start(Agent(instructions="Be brief.", tools=[look_up]), room=room)
            made = Room(server, session, caller)
            made.outcomes = outcomes
            try:
                yield made
            finally:
                await session.aclose()
                await room.disconnect()


HELLO = (("user", "hello there"), ("model", "You said hello there"))
AGAIN = (("user", "again"), ("model", "You said again"))


async def test_a_cut_between_turns_is_not_heard_and_nothing_is_replayed(
    livekit_server: LiveKitServer, spoken: Path
) -> None:
    async with in_a_room(livekit_server, ["hello there", "again"]) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        room.server.now.cut()
        await room.caller.say(spoken / "my_name.wav")
        await room.remembered(*HELLO, *AGAIN)
        assert [one.kind for one in room.outcomes] == ["resumed"]


async def test_a_cut_before_the_reply_is_answered_all_the_same(
    livekit_server: LiveKitServer, spoken: Path
) -> None:
    async with in_a_room(livekit_server, ["hello there", "again", "again"]) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        room.server.may_speak.clear()
        await room.caller.say(spoken / "my_name.wav")
        await wait_for(lambda: ("user", "again") in room.server.conversation.said, within_s=5)
        room.server.now.cut()
        room.server.may_speak.set()
        await room.remembered(*HELLO, *AGAIN)


async def test_words_spoken_while_nobody_was_connected_are_heard(
    livekit_server: LiveKitServer, spoken: Path
) -> None:
    async with in_a_room(livekit_server, ["hello there", "again"]) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        room.server.behaviour.setup_s = 1.0
        room.server.now.cut()
        await room.caller.say(spoken / "my_name.wav")
        await room.remembered(*HELLO, *AGAIN)


async def test_a_tool_that_runs_through_a_cut_has_its_result_told_once(
    livekit_server: LiveKitServer, spoken: Path
) -> None:
    use = 'use look_up {"word":"fee"}'
    async with in_a_room(livekit_server, ["hello there", use]) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        server = room.server
        passed = len(server.passed)
        await room.caller.say(spoken / "my_name.wav")
        await wait_for(lambda: any(p.kind == "toolCall" for p in server.passed[passed:]),
                       within_s=5)  # fmt: skip
        server.now.cut()
        await room.remembered(
            ("user", use), ("tool", "look_up(word=fee) = found fee"), ("model", "It says found fee")
        )


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "arrived"])
@pytest.mark.parametrize(
    "on", ["inputTranscription", "toolCall", "tool_response", "inlineData", "turnComplete"]
)
async def test_a_call_that_is_cut_at_any_kind_of_message_is_remembered_by_both_sides(
    livekit_server: LiveKitServer, spoken: Path, on: str, lost: bool
) -> None:
    """In words, at the call of a tool, at its outcome, amid the reply, at its end."""
    use = 'use look_up {"word":"fee"}'
    words = "hello there"

    async def understand(_: bytes) -> str:
        return words

    async with in_a_room(livekit_server, understand) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        room.server.behaviour.drops = [Drop(on=on, lost=lost)]
        words = use
        await room.caller.say(spoken / "my_name.wav")
        await wait_for(lambda: not room.server.behaviour.drops, within_s=WITHIN_S)
        await wait_for(lambda: "found fee" in room.agent_lines[-1][1] and room.rests,
                       within_s=WITHIN_S)  # fmt: skip
        words = "again"
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*AGAIN)
        assert [text for role, text in room.agent_lines if role == "user"] == [
            "hello there", use, "again",
        ]  # fmt: skip
        assert [role for role, _ in room.agent_lines].count("tool") == 1
        assert not room.closed


async def test_what_is_typed_while_away_is_answered(livekit_server: LiveKitServer) -> None:
    async with in_a_room(livekit_server, []) as room:
        await wait_for(lambda: room.server.is_connected, within_s=5)
        await room.session.generate_reply(user_input="typed one")
        await room.remembered(("user", "typed one"), ("model", "You said typed one"))
        room.server.behaviour.setup_s = 0.5
        room.server.now.cut()
        await room.session.generate_reply(user_input="typed two")
        await room.remembered(("user", "typed two"), ("model", "You said typed two"))


async def test_a_service_that_is_gone_for_good_closes_the_session_within_the_budget(
    livekit_server: LiveKitServer,
) -> None:
    async with in_a_room(livekit_server, []) as room:
        await wait_for(lambda: room.server.is_connected, within_s=5)
        room.server.behaviour.unreachable = 10_000
        room.server.now.cut()
        began = asyncio.get_running_loop().time()
        await wait_for(lambda: room.closed, within_s=QUICK.give_up_s + 3)
        assert asyncio.get_running_loop().time() - began < QUICK.give_up_s + 2


async def test_a_handoff_keeps_the_session_and_its_memory(
    livekit_server: LiveKitServer, spoken: Path
) -> None:
    """Another agent, with other instructions and tools: resumed with them between turns."""
    async with in_a_room(livekit_server, ["hello there", "again"]) as room:
        await room.caller.say(spoken / "hello.wav")
        await room.remembered(*HELLO)
        old = room.session.current_agent
        room.session.update_agent(
            Agent(instructions="Be long.", chat_ctx=old.chat_ctx.copy(exclude_instructions=True))
        )
        await wait_for(lambda: "Be long." in str(room.server.now.setup), within_s=WITHIN_S)
        await room.caller.say(spoken / "my_name.wav")
        await room.remembered(*HELLO, *AGAIN)
        assert {one.kind for one in room.outcomes} == {"resumed"}
        assert "functionDeclarations" not in str(room.server.now.setup)


async def test_a_failover_takes_the_call_over_and_the_session_stays_open(
    livekit_server: LiveKitServer,
) -> None:
    failures: list[Exception] = []

    def take_over(error: Exception) -> bool:
        failures.append(error)
        return True

    async with in_a_room(livekit_server, [], on_failed=take_over) as room:
        await wait_for(lambda: room.server.is_connected, within_s=5)
        room.server.behaviour.refusals = [Refusal(code=1008, times=99, with_handle_only=False)]
        room.server.now.cut()
        await wait_for(lambda: failures, within_s=WITHIN_S)
        assert [one.kind for one in room.outcomes] == ["failed"]
        assert not room.closed
