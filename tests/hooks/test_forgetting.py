"""A model that clears its own context by a tool, where there is no backend (memory-only mode)."""

from pathlib import Path

from livekit.agents.llm import ChatContext, ChatMessage

from simulators.scripted.pipeline import Answer
from tests.hooks.scene import scene, written_call
from tests.support.waiting import wait_for
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import SystemClock
from voice_agent.aio.supervisor import supervised
from voice_agent.call.ports import CallSignals
from voice_agent.room.forgetting import Forgetting
from voice_agent.room.tools import tools_of


def words_of(context: ChatContext) -> list[str]:
    """What people said in a context."""
    return [
        item.text_content or ""
        for item in context.items
        if isinstance(item, ChatMessage) and item.role in {"user", "assistant"}
    ]


async def test_without_a_backend_a_clear_forgets_and_its_reply_is_heard(tmp_path: Path) -> None:
    clock = SystemClock()
    made = await written_call(tmp_path)
    tools = tools_of(clock, made.asking, can_clear=True)
    async with (
        scene(tmp_path, call=made, tools=tools) as call,
        supervised(clock=clock, backoff=Backoff(), drain_s=5.0) as jobs,
    ):
        forgetting = Forgetting(call.session, jobs, clock)
        signals = CallSignals(
            bound=lambda _: None,
            history=lambda _: None,
            cleared=lambda keep: forgetting.forget(keep_reply=keep, log_fields={}),
        )
        await made.keep(jobs, signals)
        call.model.will("hello ada", Answer(calls=(("clear_conversation", "{}"),)), "forgotten")
        await call.speaks("my name is ada")
        await call.until_answered("hello ada")
        await call.idle()
        await call.speaks("forget everything")
        await call.until_answered("forgotten")
        await call.idle()
        await wait_for(lambda: not words_of(call.session.current_agent.chat_ctx))
        await call.speaks("what is my name")
        await call.until_answered("yes")
        assert words_of(call.model.asked[-1]) == ["what is my name"]
        assert call.said() == ["my name is ada", "forget everything", "what is my name"]
