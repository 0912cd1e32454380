"""Tools, typed lines, handoffs and prompts: each recorded once, or never."""

import asyncio
from pathlib import Path

import pytest
from livekit.agents import ToolError, function_tool
from livekit.agents.llm import ChatMessage
from livekit.agents.voice.room_io import TextInputEvent

from simulators.scripted.pipeline import Answer
from simulators.scripted.realtime import ScriptedRealtimeModel
from tests.hooks.scene import Scene, scene
from tests.support.waiting import wait_for
from voice_agent.domain.events import Handoff, Message, Speech, ToolCall, ToolResult
from voice_agent.room.agent import VoiceAgent
from voice_agent.room.job import _on_typed

free = asyncio.Event()
started = asyncio.Event()


@function_tool
async def look_up(what: str) -> str:
    """Look something up."""
    return f"{what}: 42"


@function_tool
async def slow() -> str:
    """Take long."""
    started.set()
    await free.wait()
    return "done"


@function_tool
async def failing() -> str:
    """Fail with something that nobody outside may read."""
    raise RuntimeError("password=hunter2")


@function_tool
async def refusing() -> str:
    """Refuse with something that is for the model."""
    raise ToolError("no such order")


@function_tool
async def silent() -> None:
    """Do it and say nothing."""


@pytest.fixture(autouse=True)
def events_of_this_loop() -> None:
    global free, started
    free, started = asyncio.Event(), asyncio.Event()


def tools(call: Scene) -> list[str]:
    """Calls and results in order."""
    return [
        f"call {body.name}" if isinstance(body, ToolCall)
        else f"{'error' if body.is_error else 'result'} {body.output}"
        for body in (e.body for e in call.events())
        if isinstance(body, ToolCall | ToolResult)
    ]  # fmt: skip


async def test_a_tool_call_and_its_result(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[look_up]) as call:
        call.model.will(
            Answer(text="let me see", calls=(("look_up", '{"what": "it"}'),)), "it is 42"
        )
        await call.speaks("what is it")
        await call.until_turns(
            "user: what is it | assistant: let me see | assistant: it is 42 | completed"
        )
    assert tools(call) == ["call look_up", "result it: 42"]
    ids = {e.turn_id for e in call.events() if isinstance(e.body, ToolCall | ToolResult)}
    assert ids == {call.events_of(Message)[0].turn_id}


async def test_two_tools_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[look_up, silent]) as call:
        call.model.will(Answer(calls=(("look_up", '{"what": "it"}'), ("silent", "{}"))), "done")
        await call.speaks("do both")
        await call.until_turns("user: do both | assistant: done | completed")
    assert sorted(tools(call)) == ["call look_up", "call silent", "result ", "result it: 42"]


async def test_a_running_tool_is_on_disk_before_it_ends(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[slow]) as call:
        call.model.will(Answer(calls=(("slow", "{}"),)), "finished")
        await call.speaks("take your time")
        await wait_for(started.is_set)
        assert tools(call) == ["call slow"]
        free.set()
        await call.until_turns("user: take your time | assistant: finished | completed")
    assert tools(call) == ["call slow", "result done"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("failing", "An internal error occurred"), ("refusing", "no such order")],
)
async def test_a_tool_that_fails_is_recorded_in_the_words_that_the_model_is_told(
    tmp_path: Path, name: str, told: str
) -> None:
    async with scene(tmp_path, tools=[failing, refusing]) as call:
        call.model.will(Answer(calls=((name, "{}"),)), "sorry")
        await call.speaks("do it")
        await call.until_turns("user: do it | assistant: sorry | completed")
    assert tools(call) == [f"call {name}", f"error {told}"]


async def test_a_tool_that_does_not_exist(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[look_up]) as call:
        call.model.will(Answer(calls=(("invented", "{}"),)), "sorry")
        await call.speaks("do it")
        await call.until_turns("user: do it | assistant: sorry | completed")
    asked, answered = tools(call)
    assert asked == "call invented"
    assert answered.startswith("error Unknown function")


async def test_a_tool_with_nothing_to_say_answers_the_turn(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[silent]) as call:
        call.model.will(Answer(calls=(("silent", "{}"),)))
        await call.speaks("hush")
        await call.until_turns("user: hush | completed")
    assert tools(call) == ["call silent", "result "]


async def test_a_tool_that_is_interrupted_is_recorded_once_with_an_end(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[slow]) as call:
        call.model.will(Answer(calls=(("slow", "{}"),)), "ok")
        await call.speaks("take your time")
        await wait_for(started.is_set)
        await call.speaks("never mind")
        free.set()
        await wait_for(lambda: len(call.turns()) == 2 and "ok" in call.turns()[-1])
        await call.idle()
    assert tools(call)[0] == "call slow"
    assert len(tools(call)) == 2


async def test_a_tool_that_still_runs_at_hang_up_has_an_end(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[slow]) as call:
        call.model.will(Answer(calls=(("slow", "{}"),)), "ok")
        await call.speaks("take your time")
        await wait_for(started.is_set)
        ending = asyncio.ensure_future(call.hang_up())
        free.set()
        await ending
    assert tools(call)[0] == "call slow"
    assert len(tools(call)) == 2


async def test_a_tool_of_a_realtime_model(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel(), tools=[look_up]) as call:
        call.live.began()
        call.live.paused()
        call.live.final("item_1", "what is it")
        call.live.answers(calls=(("look_up", '{"what": "it"}'),))
        await wait_for(lambda: call.live.is_asked)
        call.live.answers("it is 42")
        await call.until_turns("user: what is it | assistant: it is 42 | completed")
    assert tools(call) == ["call look_up", "result it: 42"]


async def test_a_model_that_goes_on_by_itself_after_a_tool_stays_in_the_turn(
    tmp_path: Path,
) -> None:
    """Gemini answers a result with a reply of its own, and announces speech before it."""
    model = ScriptedRealtimeModel(answers_tools=True)
    async with scene(tmp_path, realtime=model, tools=[look_up]) as call:
        call.live.began()
        call.live.final("item_1", "what is it")
        call.live.paused()
        call.live.answers(calls=(("look_up", '{"what": "it"}'),))
        await wait_for(lambda: "result it: 42" in tools(call))
        await wait_for(lambda: call.bodies(Speech))
        call.live.began()
        call.live.answers("it is 42")
        await call.until_turns("user: what is it | assistant: it is 42 | completed")


async def test_words_in_place_of_the_reply_to_a_tool_are_a_new_turn(tmp_path: Path) -> None:
    model = ScriptedRealtimeModel(answers_tools=True)
    async with scene(tmp_path, realtime=model, tools=[look_up]) as call:
        call.live.began()
        call.live.final("item_1", "what is it")
        call.live.paused()
        call.live.answers(calls=(("look_up", '{"what": "it"}'),))
        await wait_for(lambda: call.bodies(Speech))
        call.live.began()
        call.live.final("item_2", "never mind")
        call.live.paused()
        call.live.answers("as you like")
        await call.until_turns(
            "user: what is it | interrupted",
            "user: never mind | assistant: as you like | completed",
        )


async def test_a_typed_line_is_recorded_once_as_text(tmp_path: Path) -> None:
    """As the room's text stream brings it."""
    async with scene(tmp_path) as call:
        event = TextInputEvent(text="typed", info=None, participant=None)
        await _on_typed(call.session, event)
        await call.until_turns("user: typed | assistant: yes | completed")
    assert [m.modality for m in call.messages("user")] == ["text"]


async def test_a_line_typed_in_mid_sentence_takes_no_words_of_it(tmp_path: Path) -> None:
    async with scene(tmp_path, patience_s=0.3) as call:
        await call.speaks("what I said")
        await call.until_said("what I said")
        event = TextInputEvent(text="what I said", info=None, participant=None)
        await _on_typed(call.session, event)
        await wait_for(lambda: len(call.said("assistant")) == 2 or len(call.turns()) > 1)
        await call.idle()
    assert call.said() == ["what I said", "what I said"]
    assert [m.modality for m in call.messages("user")] == ["voice", "text"]


async def test_text_run_by_a_program_is_recorded_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        await call.session.run(user_input="hello")
        await call.until_turns("user: hello | assistant: yes | completed")


async def test_a_handoff_is_recorded_and_no_prompt_ever(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        await call.speaks("hello")
        await call.until_said("yes", role="assistant")
        agent = call.session.current_agent
        assert isinstance(agent, VoiceAgent)
        await agent.update_instructions("ANOTHER SECRET PROMPT")
        call.session.update_agent(agent.successor(instructions="A THIRD SECRET PROMPT"))
        await wait_for(lambda: len(call.bodies(Handoff)) == 2)
        await call.speaks("are you another one")
        await wait_for(lambda: len(call.said("assistant")) == 2)
    assert "SECRET" not in call.file_text()
    assert any(item.type == "agent_config_update" for item in call.session.history.items)


async def test_restored_history_is_not_recorded_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        agent = call.session.current_agent
        context = agent.chat_ctx.copy()
        context.items.append(ChatMessage(role="user", content=["long ago"], id="old"))
        await agent.update_chat_ctx(context)
        await call.speaks("hello")
        await call.until_turns("user: hello | assistant: yes | completed")
