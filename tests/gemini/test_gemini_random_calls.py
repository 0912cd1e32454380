"""Random calls, cut at random: at the end the service's conversation is the application's."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from livekit.agents import llm

from simulators.gemini.behaviour import Behaviour, Drop, Refusal
from simulators.gemini.server import GeminiServer
from tests.gemini.talking import (
    QUICK,
    Talk,
    both_remember,
    look_up,
    other,
    serving,
    talking,
    told,
)
from tests.support.waiting import wait_for

STEPS = st.sampled_from(
    ["say", "type", "note", "tool", "slow tool", "edit", "remove", "insert", "trim", "clear",
     "instruct", "tools", "say over it", "note amid it", "rest", "slowly", "quickly", "cut", "away",
     "close 1007", "close 1011", "refuse", "refuse 1011", "expire", "unreachable", "silent",
     "go away", "go away at once", "another process"]
)  # fmt: skip
LIMITS = replace(QUICK, set_up_s=0.5, settled_s=0.2)
FULL_MAX = 3
"""Contexts that are full so often in half a minute: the next one is an honest error."""


@dataclass
class Run:
    """One random call."""

    server: GeminiServer
    said: list[str] = field(default_factory=list)
    """Words of the caller that must be there once each, unless taken back."""
    spoken: str = ""
    full_count: int = 0

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Have a process of the application, and another after each ``begin_again``."""
        async with contextlib.AsyncExitStack() as self.process:
            await self._begin()
            try:
                yield
            finally:
                await self.process.aclose()

    async def _begin(self, resume: bytes | None = None) -> None:
        begun = talking(self.server, limits=LIMITS, resume=resume)
        self.talk = await self.process.enter_async_context(begun)

    async def begin_again(self) -> None:
        """End the process; the next one has what was written down of the conversation."""
        await self._rests()
        payload, context = self.talk.session.save(), self.talk.session.chat_ctx
        await self.process.aclose()
        await self._begin(payload or None)
        await self.talk.session.update_chat_ctx(context)

    async def step(self, n: int, what: str) -> None:
        session = self.talk.session
        match what:
            case "say" | "say over it" | "type" | "note" | "note amid it":
                await self._tell(n, what)
            case "tool" | "slow tool":
                await self._use_tool(n, slow=what == "slow tool")
            case "edit" | "remove" | "insert" | "trim" | "clear":
                await self._change(n, what)
            case "instruct":
                await session.update_instructions(f"Be number {n}.")
            case "tools":
                await session.update_tools([look_up, other] if n % 2 else [look_up])
            case "another process":
                await self.begin_again()
            case "rest":
                await both_rest(self.server)
            case _:
                await self._disturb(what)

    async def _tell(self, n: int, what: str) -> None:
        words = f"{what} {n}"
        self.said.append(words)
        match what:
            case "say":
                await self.say(words)
                await self._answered(words)
            case "say over it":  # over the reply to it, that is
                await self.say(words)
                await wait_for(lambda: self._is_heard(words))
            case "type":
                await self.talk.type(words)
                await self._answered(words)
            case _:
                if what == "note amid it":
                    await self._tell(n, "say over it")
                await self.talk.type(words, ask=False)

    async def _trim(self) -> None:
        context = self.talk.session.chat_ctx
        if len(context.items) <= 6:
            return
        gone = {one.text_content for one in context.items[:2] if isinstance(one, llm.ChatMessage)}
        self.said = [one for one in self.said if one not in gone]
        await self.talk.session.update_chat_ctx(llm.ChatContext(context.items[2:]))

    async def _clear(self) -> None:
        await self._rests()
        self.said.clear()
        await self.talk.session.update_chat_ctx(llm.ChatContext.empty())

    async def _rests(self) -> None:
        """Wait until what was said is there, so that it is known what is taken back."""
        await wait_for(lambda: set(self.said) <= {text for _, text in told(self.talk.session)})
        await both_rest(self.server)

    async def _disturb(self, what: str) -> None:
        behaviour = self.server.behaviour
        match what:
            case "slowly" | "quickly":
                behaviour.piece_s = 0.02 if what == "slowly" else 0.0
            case "refuse":
                behaviour.refusals = [Refusal(code=1008)]
            case "refuse 1011":
                behaviour.refusals = [Refusal(code=1011, at="after_setup", times=2)]
            case "expire":
                self.server.frozen.clear()
            case "unreachable":
                behaviour.unreachable = 3
            case "silent":
                behaviour.silent_setups = 1
            case _:
                await self._disconnect(what)

    async def _disconnect(self, what: str) -> None:
        behaviour = self.server.behaviour
        if not self.server.is_connected:
            return
        if what == "cut":
            behaviour.setup_s = 0.0
            self.server.now.cut()
        elif what == "away":
            behaviour.setup_s = 0.1
            self.server.now.cut()
        elif what == "close 1007":
            self.full_count += 1
            if self.full_count <= FULL_MAX:
                await self.server.now.close(1007, "Request contains an invalid argument.")
        elif what == "close 1011":
            await self.server.now.close(1011, "Deadline expired")
        else:
            await self.server.now.go_away(0.0 if what == "go away at once" else 5.0)

    async def _use_tool(self, n: int, *, slow: bool) -> None:
        words = f'use look_up {{"word":"w{n}"}}'
        self.talk.tools_at_once = not slow
        await self.say(words)
        self.said.append(words)
        if slow:
            await wait_for(lambda: any(f"w{n}" in one.arguments for one in self.talk.calls))
            self.server.now.cut()
            call = next(one for one in self.talk.calls if f"w{n}" in one.arguments)
            await self.talk.give(call)
        await wait_for(lambda: any(f"found w{n}" in line[1] for line in told(self.talk.session)))

    async def say(self, words: str) -> None:
        """Speak, when what was said before has been heard: speech takes its time."""
        before, self.spoken = self.spoken, words
        if before and before in self.said:
            await wait_for(lambda: self._is_heard(before) or ("user", before)
                           in told(self.talk.session))  # fmt: skip
        self.talk.say(words)

    def _is_heard(self, words: str) -> bool:
        server = self.server
        return (
            server.is_connected
            and any(words in one for one in self.talk.transcripts)
            and any(words == line.text for line in server.conversation.lines)
        )

    async def _change(self, n: int, what: str) -> None:
        if what == "trim":
            await self._trim()
        elif what == "clear":
            await self._clear()
        else:
            await self._correct(n, what)

    async def _correct(self, n: int, what: str) -> None:
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
        endpoint_s=0.03,
        drops=[Drop(at=at, lost=lost) for at, lost in drops],
        handle_when_told=bool(when & 1),
        handle_after_transcript=bool(when & 2),
        handle_before_turn_complete=bool(when & 4),
    )
    async with serving(behaviour) as server:
        call = Run(server)
        async with call.calling():
            await play(call, steps)


async def play(call: Run, steps: list[str]) -> None:
    behaviour = call.server.behaviour
    for n, what in enumerate(steps):
        await call.step(n, what)
    behaviour.drops.clear()
    behaviour.refusals.clear()
    await call.say("the end")
    call.said.append("the end")
    await both_remember_but_the_trimmed(call.server, call.talk)
    users = [text for role, text in told(call.talk.session) if role == "user"]
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


CALLS = given(
    steps=st.lists(STEPS, min_size=1, max_size=14),
    drops=st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=3),
    when=st.integers(0, 7),
)
CALL_COUNT = int(os.environ.get("GEMINI_CALLS", "30"))
"""``GEMINI_CALLS=5000 pytest tests/gemini/test_gemini_random_calls.py --timeout 7200`` for more."""


@pytest.mark.timeout(max(60, CALL_COUNT * 3))
@settings(
    max_examples=CALL_COUNT, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],  # a smaller call would take minutes to find
)  # fmt: skip
@CALLS
def test_after_any_call_the_service_remembers_what_the_application_does(
    steps: list[str], drops: list[tuple[int, bool]], when: int
) -> None:
    asyncio.run(run(steps, drops, when))
