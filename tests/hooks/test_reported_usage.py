"""What models report as used up is in the log once, whatever becomes of the turn."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from livekit.agents import APIConnectionError
from livekit.agents.llm import function_tool
from livekit.agents.metrics import LLMModelUsage, STTModelUsage, TTSModelUsage

from simulators.scripted.pipeline import PROMPT_TOKENS, Answer
from simulators.scripted.realtime import ScriptedRealtimeModel
from tests.hooks.scene import Scene, scene
from tests.support.waiting import wait_for
from voice_agent.domain.events import TurnEnded
from voice_agent.domain.usage import Usage
from voice_agent.state import frames
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import Ended

Counts = dict[str, float]


@function_tool
async def look_up(word: str) -> str:
    """Look a word up.

    Args:
        word: what to look up
    """
    return f"found {word}"


def left(call: Scene) -> tuple[Usage, ...]:
    """What the end of the call says, after what its turns said."""
    (path,) = call.folder.glob("*.outbox")
    (frame,) = (
        item
        for item in frames.read(path.read_bytes())
        if isinstance(item, Frame) and item.type == FrameType.ENDED
    )
    return msgspec.json.decode(frame.payload, type=Ended).usage or ()


def told(call: Scene) -> list[dict[str, Counts]]:
    """What each ended turn says was used up, by service."""
    return [
        {usage.service: dict(usage.counts) for usage in ended.usage or ()}
        for ended in call.bodies(TurnEnded)
    ]


def spent(call: Scene) -> dict[str, Counts]:
    """Add up the log of a call that is over, and compare with livekit-agents' own sums."""
    sums: dict[str, dict[str, float]] = {}
    reports = [usage for ended in call.bodies(TurnEnded) for usage in ended.usage or ()]
    for usage in (*reports, *left(call)):
        counts = sums.setdefault(usage.service, {})
        for name, value in usage.counts.items():
            counts[name] = round(counts.get(name, 0) + value, 6)
    for theirs in call.session.usage.model_usage:
        match theirs:
            case LLMModelUsage():
                ours = sums.get("realtime") or sums["llm"]
                names = ("input_tokens", "output_tokens", "input_cached_tokens")
                assert [ours.get(n, 0) for n in names] == [getattr(theirs, n) for n in names]
            case STTModelUsage():
                assert sums["stt"]["audio_s"] == pytest.approx(theirs.audio_duration)
            case TTSModelUsage():
                assert sums["tts"]["characters"] == theirs.characters_count
                assert sums["tts"]["audio_s"] == pytest.approx(theirs.audio_duration)
    return sums


async def test_each_turn_says_what_it_took(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.model.will("hi there", "see you")
        for said, heard_s, answer in (("hello", 1.5, "hi there"), ("bye", 0.7, "see you")):
            await call.speaks(said)
            call.stt.bills(heard_s)
            await call.until_answered(answer)
        await wait_for(lambda: len(told(call)) == 2)
    assert [turn["llm"] for turn in told(call)] == [
        {"requests": 1, "input_tokens": PROMPT_TOKENS, "output_tokens": 2}
    ] * 2
    total = spent(call)
    assert total["llm"] == {"requests": 2, "input_tokens": 2 * PROMPT_TOKENS, "output_tokens": 4}
    assert total["stt"] == {"requests": 2, "audio_s": 2.2}
    assert total["tts"].pop("audio_s") > 0.2  # with the silence at its end
    assert total["tts"] == {"requests": 2, "characters": 15}
    (llm,) = (one for one in call.bodies(TurnEnded)[0].usage if one.service == "llm")
    assert (llm.provider, llm.model) == ("script", "reader")


async def test_an_interrupted_reply_has_cost_what_it_has(tmp_path: Path) -> None:
    async with scene(tmp_path, plays_at_once=False) as call:
        call.model.will("once upon a time", "ok")
        call.loudspeaker.heard = "once upon"
        await call.speaks("tell me a story")
        await wait_for(lambda: call.session.agent_state == "speaking")
        await call.speaks("stop")
        call.hear_out()
        await call.until_answered("ok")
        await call.idle()
    assert spent(call)["llm"] == {
        "requests": 2, "input_tokens": 2 * PROMPT_TOKENS, "output_tokens": 5,
    }  # fmt: skip
    assert spent(call)["tts"]["requests"] == 2


async def test_a_tool_call_is_a_request_of_its_own_in_the_same_turn(tmp_path: Path) -> None:
    async with scene(tmp_path, tools=[look_up]) as call:
        call.model.will(Answer(calls=(("look_up", '{"word": "fee"}'),)), "a fee is a price")
        await call.speaks("what is a fee")
        await call.until_answered("a fee is a price")
        await wait_for(lambda: len(told(call)) == 1)
    assert spent(call)["llm"] == {
        "requests": 2, "input_tokens": 2 * PROMPT_TOKENS, "output_tokens": 5,
    }  # fmt: skip
    assert told(call)[0]["llm"]["requests"] == 2


async def test_a_prepared_reply_that_is_thrown_away_was_paid_for(tmp_path: Path) -> None:
    async with scene(tmp_path, preemptive=True) as call:
        call.model.will("one", "two")
        call.vad.begin()
        call.stt.final("I want")
        await wait_for(
            lambda: [u.output_tokens for u in call.session.usage.model_usage
                     if isinstance(u, LLMModelUsage)] == [1]
        )  # fmt: skip
        call.stt.final("to cancel")
        call.vad.end()
        await call.until_turns("user: I want | user: to cancel | assistant: two | completed")
    assert spent(call)["llm"] == {
        "requests": 2, "input_tokens": 2 * PROMPT_TOKENS, "output_tokens": 2,
    }  # fmt: skip


async def test_a_request_that_is_cancelled_in_mid_answer_counts(tmp_path: Path) -> None:
    """It is one, whatever of its tokens the provider still reports: of this one, none."""
    async with scene(tmp_path, plays_at_once=False) as call:
        story = "Once upon a time there was a king. He lived far away by the sea. And he"
        call.model.will(Answer(text=story, unfinished=asyncio.Event()), "ok")
        await call.speaks("tell me a story")
        await wait_for(lambda: call.session.agent_state == "speaking")
        await call.speaks("stop")
        call.hear_out()
        await call.until_answered("ok")
        await call.idle()
    assert spent(call)["llm"] == {
        "requests": 2, "input_tokens": PROMPT_TOKENS, "output_tokens": 1,
    }  # fmt: skip


async def test_a_request_that_failed_reports_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.model.will(Answer(error=APIConnectionError()), "hi")
        await call.speaks("hello")
        await call.until_errors(1)
        await call.speaks("hello again")
        await call.until_answered("hi")
        await call.idle()
    assert spent(call)["llm"]["requests"] == 1


async def test_what_is_reported_after_the_last_turn_goes_with_the_end_of_the_call(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as call:
        await call.speaks("hello")
        await call.until_turns("user: hello | assistant: yes | completed")
        call.stt.bills(0.5)
        await wait_for(lambda: len(call.session.usage.model_usage) == 3)
    assert "stt" not in told(call)[0]
    (usage,) = left(call)
    assert (usage.service, dict(usage.counts)) == ("stt", {"requests": 1, "audio_s": 0.5})


async def test_a_call_without_a_word_says_nothing_was_used(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        await call.idle()
    assert call.events_of(TurnEnded) == []
    assert left(call) == ()


async def test_a_realtime_model_by_kind_of_token(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.stays_open(30.0)
        for n in (1, 2):
            call.live.began()
            call.live.paused()
            call.live.final(f"item_{n}", f"question {n}")
            call.live.bills(input_audio=40, input_text=5, cached_text=3, output_audio=20)
            call.live.answers(f"answer {n}")
            await call.until_answered(f"answer {n}")
        await wait_for(lambda: len(told(call)) == 2)
        call.live.stays_open(12.5)
    assert told(call)[0]["realtime"]["session_s"] == 30.0
    assert spent(call)["realtime"] == {
        "requests": 2,
        "input_tokens": 90,
        "input_text_tokens": 10,
        "input_audio_tokens": 80,
        "input_cached_tokens": 6,
        "input_cached_text_tokens": 6,
        "output_tokens": 40,
        "output_audio_tokens": 40,
        "session_s": 42.5,
    }
