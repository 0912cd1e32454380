"""Random calls, cut at random: at the end the service's conversation is the application's."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from livekit.agents import llm

from simulators.gemini.behaviour import Behaviour, Drop, Refusal
from simulators.gemini.server import GeminiServer
from tests.gemini.talking import Talk, both_remember, serving, talking, told
from tests.support.waiting import wait_for

STEPS = st.sampled_from(
    ["say", "type", "note", "tool", "slow tool", "edit", "remove", "insert", "trim", "instruct",
     "cut", "away", "close 1007", "close 1011", "refuse", "forget nothing", "go away", "rest"]
)  # fmt: skip


@dataclass
class Run:
    """One random call."""

    server: GeminiServer
    talk: Talk
    said: list[str] = field(default_factory=list)
    """Words of the caller that must be there once each, unless taken back."""

    async def step(self, n: int, what: str) -> None:  # noqa: C901 - a table
        match what:
            case "say":
                self.talk.say(f"spoken {n}")
                self.said.append(f"spoken {n}")
                await self._answered(f"spoken {n}")
            case "type":
                await self.talk.type(f"typed {n}")
                self.said.append(f"typed {n}")
                await self._answered(f"typed {n}")
            case "note":
                await self.talk.type(f"note {n}", ask=False)
                self.said.append(f"note {n}")
            case "tool" | "slow tool":
                await self._use_tool(n, slow=what == "slow tool")
            case "edit" | "remove" | "insert":
                await self._change(n, what)
            case "trim":
                await self._trim()
            case "instruct":
                await self.talk.session.update_instructions(f"Be number {n}.")
            case "rest":
                await both_rest(self.server)
            case _:
                await self._disturb(what)

    async def _trim(self) -> None:
        context = self.talk.session.chat_ctx
        if len(context.items) <= 6:
            return
        gone = {one.text_content for one in context.items[:2] if isinstance(one, llm.ChatMessage)}
        self.said = [one for one in self.said if one not in gone]
        await self.talk.session.update_chat_ctx(llm.ChatContext(context.items[2:]))

    async def _disturb(self, what: str) -> None:
        behaviour = self.server.behaviour
        if what == "refuse":
            behaviour.refusals = [Refusal(code=1008)]
        elif not self.server.is_connected:
            return
        elif what == "cut":
            behaviour.setup_s = 0.0
            self.server.now.cut()
        elif what == "away":
            behaviour.setup_s = 0.1
            self.server.now.cut()
        elif what == "close 1011":
            await self.server.now.close(1011, "Deadline expired")
        elif what == "go away":
            await self.server.now.go_away(5.0)

    async def _use_tool(self, n: int, *, slow: bool) -> None:
        words = f'use look_up {{"word":"w{n}"}}'
        self.talk.tools_at_once = not slow
        self.talk.say(words)
        self.said.append(words)
        if slow:
            await wait_for(lambda: any(f"w{n}" in one.arguments for one in self.talk.calls))
            self.server.now.cut()
            call = next(one for one in self.talk.calls if f"w{n}" in one.arguments)
            await self.talk.give(call)
        await wait_for(lambda: any(f"found w{n}" in line[1] for line in told(self.talk.session)))

    async def _change(self, n: int, what: str) -> None:
        context = self.talk.session.chat_ctx.copy()
        own = [k for k, one in enumerate(context.items)
               if isinstance(one, llm.ChatMessage) and one.id.startswith("item_")]  # fmt: skip
        if len(own) < 2:
            return
        at = own[-1]
        old = context.items[at]
        assert isinstance(old, llm.ChatMessage)
        if what == "insert":
            context.items.insert(at, llm.ChatMessage(role="user", content=[f"inserted {n}"]))
            self.said.append(f"inserted {n}")
        else:
            self.said = [one for one in self.said if one != old.text_content]
            if what == "edit":
                context.items[at] = llm.ChatMessage(id=old.id, role="user", content=[f"edited {n}"])
                self.said.append(f"edited {n}")
            else:
                del context.items[at]
        await self.talk.session.update_chat_ctx(context)

    async def _answered(self, words: str) -> None:
        await wait_for(lambda: ("user", words) in told(self.talk.session), what=f"{words!r} kept")


async def both_rest(server: GeminiServer) -> None:
    await wait_for(lambda: server.is_connected and server.now.is_idle)


async def run(steps: list[str], drops: list[tuple[int, bool]], when: int) -> None:
    behaviour = Behaviour(
        drops=[Drop(at=at, lost=lost) for at, lost in drops],
        handle_when_told=bool(when & 1),
        handle_after_transcript=bool(when & 2),
        handle_before_turn_complete=bool(when & 4),
    )
    async with serving(behaviour) as server, talking(server) as talk:
        call = Run(server, talk)
        for n, what in enumerate(steps):
            await call.step(n, what)
        behaviour.drops.clear()
        behaviour.refusals.clear()
        talk.say("the end")
        call.said.append("the end")
        await both_remember_but_the_trimmed(server, talk)
        users = [text for role, text in told(talk.session) if role == "user"]
        assert sorted(users) == sorted(call.said)


async def both_remember_but_the_trimmed(server: GeminiServer, talk: Talk) -> None:
    """A trimmed window is not taken from a live session: it may remember more in front."""

    def ends_alike() -> bool:
        ours = told(talk.session)
        said = ("user", "the end") in ours and ours[-1][0] == "model"
        return said and server.conversation.said[-len(ours) :] == ours

    def rests() -> bool:
        return server.is_connected and server.now.is_idle and ends_alike()

    try:
        await wait_for(rests)
    except AssertionError:
        await both_remember(server, talk, within_s=0.1)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(STEPS, min_size=1, max_size=10),
    drops=st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=3),
    when=st.integers(0, 7),
)
def test_after_any_call_the_service_remembers_what_the_application_does(
    steps: list[str], drops: list[tuple[int, bool]], when: int
) -> None:
    asyncio.run(run(steps, drops, when))
