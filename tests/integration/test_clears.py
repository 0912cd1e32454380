"""A context clear while the agent's way to the backend is slow, cut, or not there yet (S5.11).

A real backend behind a proxy that misbehaves, a real relay, a real AgentSession with scripted
models: what the model is shown is what is looked at.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from livekit.agents.llm import ChatContext, ChatMessage

from backend_client import BackendClient, backend_http
from simulators.fault_proxy import Fault, FaultProxy
from simulators.scripted.pipeline import Answer
from tests.backend.process import Backend
from tests.hooks.scene import SETTINGS, Scene, Unwatched, scene
from tests.integration.relaying import relaying
from tests.support.waiting import wait_for
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.aio.supervisor import supervised
from voice_agent.call.call import Call, CallLayers
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.ports import CallSignals
from voice_agent.domain.events import Message
from voice_agent.domain.ids import ConversationId, JobId, RoomName
from voice_agent.room.forgetting import Forgetting
from voice_agent.room.tools import tools_of
from voice_agent.state.handles import OwnHandles
from voice_agent.state.outbox import Placement

CLIENT_S = 1.5
WAIT_S = 2.0
"""How long the backend waits for a running agent."""


@dataclass
class Talk:
    """A call in progress, and the conversation as its operator sees it."""

    on: Scene
    operator: httpx.AsyncClient
    bound: list[ConversationId] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def call(self) -> Call:
        return self.on.call

    @property
    def window(self) -> list[str]:
        """What memory holds for the model."""
        found = self.call.store.conversation.messages
        return [e.body.text for e in found if isinstance(e.body, Message)]

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.call.writer.conversation_id}"

    async def says(self, text: str) -> None:
        """Say something and hear the answer to it."""
        before = len(self.on.said("assistant"))
        await self.on.speaks(text)
        await wait_for(lambda: len(self.on.said("assistant")) > before)
        await self.on.idle()

    def shown(self) -> list[str]:
        """What the model was shown last."""
        return words_of(self.on.model.asked[-1])

    async def clear(self, event_id: str = "c1") -> dict[str, Any]:
        """Clear as an operator does."""
        answer = await self.operator.post(f"{self.path}/clear", json={"event_id": event_id})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def numbers(self) -> dict[str, int]:
        """The session number that each stored message has."""
        answer = await self.operator.get(f"{self.path}/messages", params={"last": 200})
        return {one["text"]: one["session_number"] for one in answer.json()["items"]}

    async def until_stored(self, *texts: str) -> dict[str, int]:
        """Wait until these messages are stored, and say under which numbers."""

        found: dict[str, int] = {}

        async def are_stored() -> bool:
            found.update(await self.numbers())
            return set(texts) <= set(found)

        stored: bool = await wait_for(are_stored, within_s=20)
        assert stored
        return found


def words_of(context: ChatContext) -> list[str]:
    """What people said in a context."""
    return [
        item.text_content or ""
        for item in context.items
        if isinstance(item, ChatMessage) and item.role in {"user", "assistant"}
    ]


@asynccontextmanager
async def talking(
    folder: Path, backend: Backend, proxy: FaultProxy, *, token: str, key: str | None = None
) -> AsyncIterator[Talk]:
    """Begin a call whose agent and relay reach the backend through ``proxy`` alone."""
    clock, nobody = SystemClock(), Unwatched()
    key = key or new_id()
    async with (
        backend_http(url=proxy.url, token=token, timeout_s=CLIENT_S) as through,
        httpx.AsyncClient(
            base_url=backend.url, headers={"Authorization": f"Bearer {token}"}, timeout=10.0
        ) as operator,
    ):
        layers = CallLayers(
            backend=BackendClient(through, timeout_s=CLIENT_S),
            placement=Placement(folder=folder), clock=clock, new_id=new_id, observer=nobody,
            summariser=nobody, handles=OwnHandles(clock),
        )  # fmt: skip
        place = Place(room=RoomName(key), job_id=JobId("job"))
        call = Call(settings=SETTINGS, layers=layers, pointer=Pointer(key=key), place=place)
        await call.load()
        tools = tools_of(clock, call.asking, can_clear=True)
        async with (
            scene(folder, call=call, tools=tools) as on,
            supervised(clock=clock, backoff=Backoff(), drain_s=5.0) as jobs,
        ):
            talk = Talk(on, operator)
            forgetting = Forgetting(on.session, jobs, clock)
            await call.keep(jobs, signals_of(talk, forgetting))
            yield talk


def signals_of(talk: Talk, forgetting: Forgetting) -> CallSignals:
    """What a job does with the signals of its call."""

    def history(events: Any) -> None:
        talk.told += [e.body.text for e in events if isinstance(e.body, Message)]

    return CallSignals(
        bound=talk.bound.append,
        history=history,
        cleared=lambda keep: forgetting.forget(keep_reply=keep, log_fields={}),
    )


async def test_a_clear_over_a_slow_line_reaches_the_model_before_it_is_acknowledged(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token) as talk,
    ):
        await talk.says("my name is ada")
        proxy.late_s = 0.1
        await proxy.set(Fault.LATE)
        answer = await talk.clear()
        assert (answer["session_number"], answer["acknowledged"]) == (1, True)
        assert talk.window == []
        await talk.says("what is my name")
        assert talk.shown() == ["what is my name"]
        await proxy.set(Fault.NONE)
        numbers = await talk.until_stored("my name is ada", "what is my name")
    assert (numbers["my name is ada"], numbers["what is my name"]) == (0, 1)


async def test_an_agent_that_cannot_be_reached_in_time_leaves_a_clear_unacknowledged(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    """Nor does it count as gone when its lease has run out: it still talks."""
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token) as talk,
    ):
        await talk.says("my name is ada")
        await talk.until_stored("my name is ada")
        await proxy.set(Fault.SILENT)
        assert (await talk.clear("c1"))["acknowledged"] is False
        shown = (await talk.operator.get(talk.path)).json()
        assert shown["session_number"] == 1

        async def is_without_owner() -> bool:
            return (await talk.operator.get(talk.path)).json()["owner"] is None

        expired: bool = await wait_for(is_without_owner, within_s=10)
        assert expired
        assert (await talk.clear("c2"))["acknowledged"] is False
        await talk.says("said to an agent that knows of no clear")
        await proxy.set(Fault.REFUSE)
        await proxy.set(Fault.NONE)
        await wait_for(lambda: talk.window == [], within_s=10)
        await wait_for(lambda: talk.call.writer.session_number == 2, within_s=10)
        again = await talk.clear("c2")
        assert (again["session_number"], again["acknowledged"]) == (2, True)
        await talk.says("who am I")
        assert talk.shown() == ["who am I"]
        numbers = await talk.until_stored("said to an agent that knows of no clear", "who am I")
    assert numbers["said to an agent that knows of no clear"] == 0
    assert numbers["who am I"] == 2


async def test_a_clear_while_the_agent_reconnects_is_heard_of_when_it_is_back(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    """The call began without the backend: what was said before the clear stays before it."""
    key = new_id()
    async with talking(folder, backend, proxy, token=token, key=key) as earlier:
        await earlier.says("my name is ada")
    await proxy.set(Fault.REFUSE)
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token, key=key) as talk,
    ):
        await talk.says("said before the clear")
        path = await resolved(talk.operator, key)
        body = {"event_id": "c1"}
        answer = (await talk.operator.post(f"{path}/clear", json=body)).json()
        assert answer["session_number"] == 1
        proxy.late_s = 0.1
        await proxy.set(Fault.LATE)
        await wait_for(lambda: talk.bound, within_s=10)
        await wait_for(lambda: talk.call.writer.session_number == 1)
        assert talk.window == []
        await talk.says("said after it")
        assert talk.shown() == ["said after it"]
        assert talk.told == []
        repeated = (await talk.operator.post(f"{path}/clear", json=body)).json()
        assert (repeated["session_number"], repeated["acknowledged"]) == (1, True)
        numbers = await talk.until_stored("said before the clear", "said after it")
    assert numbers["my name is ada"] == numbers["said before the clear"] == 0
    assert numbers["said after it"] == 1


async def resolved(operator: httpx.AsyncClient, key: str) -> str:
    answer = await operator.post("/v1/conversations:resolve", json={"key": key})
    return f"/v1/conversations/{answer.json()['id']}"


async def test_a_call_that_began_alone_remembers_late_what_was_not_cleared(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    key = new_id()
    async with (
        relaying(folder, url=backend.url, token=token),
        talking(folder, backend, proxy, token=token, key=key) as earlier,
    ):
        await earlier.says("said before a clear long ago")
        await earlier.clear()
        await earlier.says("my name is ada")
        await earlier.until_stored("my name is ada")
    await proxy.set(Fault.REFUSE)
    async with talking(folder, backend, proxy, token=token, key=key) as talk:
        await talk.says("said meanwhile")
        await proxy.set(Fault.NONE)
        await wait_for(lambda: talk.told, within_s=10)
        assert talk.told[0] == "my name is ada"
        assert talk.window[0] == "said meanwhile"
        assert talk.call.writer.session_number == 1


async def test_a_reply_that_a_clear_cuts_short_is_of_the_session_that_was_cleared(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token) as talk,
    ):
        talk.on.loudspeaker.plays_at_once = False
        talk.on.model.will("your name is ada")
        await talk.on.speaks("what is my name")
        await wait_for(lambda: talk.on.session.agent_state == "speaking")
        answer = await talk.clear()
        assert answer["acknowledged"] is True
        await wait_for(lambda: talk.on.session.agent_state == "listening")
        talk.on.hear_out()
        assert talk.window == []
        await talk.says("who am I")
        assert talk.shown() == ["who am I"]
        numbers = await talk.until_stored("what is my name", "who am I", "yes")
    assert {text for text, number in numbers.items() if number == 1} == {"who am I", "yes"}


async def test_the_model_clears_by_a_tool_and_its_reply_is_heard(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    proxy.late_s = 0.05
    await proxy.set(Fault.LATE)
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token) as talk,
    ):
        await talk.says("my name is ada")
        talk.on.model.will(Answer(calls=(("clear_conversation", "{}"),)), "it is forgotten, ada")
        await talk.says("forget everything")
        assert talk.on.said("assistant")[-1] == "it is forgotten, ada"
        assert talk.call.writer.session_number == 1
        await talk.says("what is my name")
        assert talk.shown() == ["what is my name"]
        numbers = await talk.until_stored("it is forgotten, ada", "what is my name")
        cleared = await talk.operator.get(f"{talk.path}/events", params={"kind": "context_cleared"})
    assert (numbers["it is forgotten, ada"], numbers["what is my name"]) == (0, 1)
    (event,) = cleared.json()["items"]
    assert (event["session_number"], event["reason"]) == (1, "asked for in the call")


async def test_while_the_backend_is_away_the_tools_say_so_in_time_and_the_call_goes_on(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    async with talking(folder, backend, proxy, token=token) as talk:
        await proxy.set(Fault.SILENT)
        began_s = SystemClock().monotonic_s()
        assert await talk.call.asking.search("ada", 3) is None
        assert SystemClock().monotonic_s() - began_s < 2
        assert (await talk.call.asking.clear()).value == "unknown"
        assert SystemClock().monotonic_s() - began_s < 6
        await talk.says("are you still there")
        await proxy.set(Fault.REFUSE)
        await proxy.set(Fault.NONE)


async def test_the_model_finds_what_it_does_not_see_and_nothing_that_was_cleared(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    key = new_id()
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token, key=key) as earlier,
    ):
        await earlier.says("the secret word is walrus")
        await earlier.clear()
        await earlier.says("my parcel has the number nine")
        for n in range(SETTINGS.limits.keep):
            await earlier.says(f"filler {n}")
        await earlier.until_stored(f"filler {n}")
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token, key=key) as talk,
    ):
        assert "my parcel has the number nine" not in talk.window
        talk.on.model.will(
            Answer(calls=(("search_conversation", '{"words": "parcel"}'),)), "it was nine"
        )
        await talk.says("what about my parcel")
        assert talk.on.said("assistant")[-1] == "it was nine"
        results = [
            i.output for i in talk.on.model.asked[-1].items if i.type == "function_call_output"
        ]
        assert results[0].count("\n") == 0
        assert 'the caller said: "my parcel has the number nine"' in results[0]
        assert await talk.call.asking.search("walrus", 3) == []
        found = await talk.call.asking.search("filler 19", 3)
    assert found == []


async def test_words_that_began_before_a_clear_are_of_the_session_before_it(
    folder: Path, backend: Backend, token: str, proxy: FaultProxy
) -> None:
    async with (
        relaying(folder, url=proxy.url, token=token),
        talking(folder, backend, proxy, token=token) as talk,
    ):
        talk.on.vad.begin()
        await wait_for(lambda: talk.on.session.user_state == "speaking")
        assert (await talk.clear())["acknowledged"] is True
        talk.on.stt.final("my name is ada")
        talk.on.vad.end()
        await talk.on.until_answered("yes")
        await talk.on.idle()
        assert talk.window == []
        talk.on.model.will("who knows")
        await talk.says("what is my name")
        numbers = await talk.until_stored("my name is ada", "what is my name", "who knows")
    assert numbers == {"my name is ada": 0, "yes": 0, "what is my name": 1, "who knows": 1}
