"""Every turn of the STT-LLM-TTS pipeline is recorded exactly once, whatever becomes of it."""

import asyncio
from pathlib import Path

from livekit.agents import APIConnectionError, StopResponse
from livekit.agents.llm import ChatContext, ChatMessage

from simulators.scripted.pipeline import Answer
from tests.hooks.scene import ADA, scene
from tests.support.waiting import wait_for
from voice_agent.domain.events import AgentState, ErrorReported, Interruption, Transcription
from voice_agent.room.agent import VoiceAgent


async def test_a_normal_turn(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.model.will("hi")
        await call.speaks("hello")
        await call.until_turns("user: hello | assistant: hi | completed")
    (said,) = call.messages("user")
    assert (said.speaker, said.modality, said.interrupted) == (ADA, "voice", False)
    assert len(call.bodies(Transcription)) == 1


async def test_words_are_on_disk_as_soon_as_they_are_final(tmp_path: Path) -> None:
    """Long before the framework announces a message: a kill -9 in between loses nothing."""
    async with scene(tmp_path) as call:
        call.vad.begin()
        call.stt.final("book me a table")
        await call.until_said("book me a table")
        assert call.turns() == ["user: book me a table | open"]


async def test_a_pause_between_two_transcripts_ends_no_turn(tmp_path: Path) -> None:
    async with scene(tmp_path, preemptive=True, patience_s=0.3) as call:
        await call.speaks("book me")
        await call.until_said("book me")
        await call.speaks("a table")
        await call.until_turns("user: book me | user: a table | assistant: yes | completed")


async def test_a_prepared_reply_that_is_thrown_away_leaves_no_trace(tmp_path: Path) -> None:
    async with scene(tmp_path, preemptive=True) as call:
        call.model.will("one", "two")
        call.vad.begin()
        call.stt.final("I want")
        await wait_for(lambda: len(call.model.asked) == 1)
        call.stt.final("to cancel")
        call.vad.end()
        await call.until_turns("user: I want | user: to cancel | assistant: two | completed")


async def test_interrupted_in_mid_reply(tmp_path: Path) -> None:
    async with scene(tmp_path, plays_at_once=False) as call:
        call.model.will("once upon a time", "ok")
        call.loudspeaker.heard = "once upon"
        await call.speaks("tell me a story")
        await wait_for(lambda: call.session.agent_state == "speaking")
        await call.speaks("stop")
        await wait_for(lambda: "once upon (cut)" in call.turns()[0])
        call.hear_out()
        await call.until_turns(
            "user: tell me a story | assistant: once upon (cut) | interrupted",
            "user: stop | assistant: ok | completed",
        )
    assert len(call.bodies(Interruption)) == 1


async def test_interrupted_before_the_first_sound(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        held = asyncio.Event()
        call.model.will(Answer(text="never heard", held=held), "ok")
        await call.speaks("tell me a story")
        await wait_for(lambda: len(call.model.asked) == 1)
        await call.speaks("stop")
        await call.until_turns("user: tell me a story | interrupted",
                               "user: stop | assistant: ok | completed")  # fmt: skip


async def test_the_model_answers_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.model.will(Answer())
        await call.speaks("hello")
        await call.until_turns("user: hello | abandoned")


async def test_the_model_fails(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.model.will(Answer(error=ValueError("broken")))
        await call.speaks("hello")
        await call.until_turns("user: hello | abandoned")
    assert call.bodies(ErrorReported)[0].error_type


class Stopping(VoiceAgent):
    """Lets the first turn pass in silence."""

    stopped = 0

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        if self.stopped == 0:
            self.stopped = 1
            raise StopResponse


class Raising(VoiceAgent):
    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        raise RuntimeError("a fault of ours")


class Editing(VoiceAgent):
    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        new_message.content = [f"{new_message.text_content} (edited)"]


async def test_a_hook_that_stops_the_response(tmp_path: Path) -> None:
    """The framework drops the message; the person has said it all the same."""
    async with scene(tmp_path, agent=Stopping) as call:
        await call.speaks("to myself")
        await wait_for(lambda: getattr(call.session.current_agent, "stopped", 0))
        assert call.said() == ["to myself"]
        await call.speaks("to you")
        await call.until_turns("user: to myself | user: to you | assistant: yes | completed")


async def test_a_hook_that_raises(tmp_path: Path) -> None:
    async with scene(tmp_path, agent=Raising) as call:
        await call.speaks("hello")
    assert call.turns() == ["user: hello | abandoned"]


async def test_a_hook_that_edits_the_message(tmp_path: Path) -> None:
    """The log keeps what was said, not what the model was shown."""
    async with scene(tmp_path, agent=Editing) as call:
        await call.speaks("hello")
        await call.until_turns("user: hello | assistant: yes | completed")
    assert "hello (edited)" in str(call.model.asked[-1].to_dict())


async def test_speech_over_a_reply_that_cannot_be_interrupted(tmp_path: Path) -> None:
    async with scene(tmp_path, plays_at_once=False) as call:
        call.session.say("welcome", allow_interruptions=False)
        await wait_for(lambda: call.loudspeaker.is_playing)
        await call.speaks("are you there")
        await call.until_said("are you there")
        call.hear_out()
        await call.until_said("welcome", role="assistant")
    assert call.turns() == ["assistant: welcome | completed", "user: are you there | abandoned"]


async def test_a_sound_without_words(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        await call.speaks()
    assert call.turns() == ["empty"]


async def test_an_empty_transcript(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        await call.speaks("", "  ")
    assert call.turns() == ["empty"]
    assert call.bodies(Transcription) == []


async def test_hung_up_in_mid_reply(tmp_path: Path) -> None:
    async with scene(tmp_path, plays_at_once=False) as call:
        call.model.will("once upon a time")
        call.loudspeaker.heard = "once"
        await call.speaks("tell me a story")
        await wait_for(lambda: call.loudspeaker.is_playing)
        await call.hang_up()
    assert call.turns() == ["user: tell me a story | assistant: once (cut) | interrupted"]


async def test_the_last_words_at_hang_up_are_recorded_as_cut_short(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.vad.begin()
        call.stt.partial("and another thi")
        await wait_for(call.turns)
        await call.hang_up()
    assert call.turns() == ["user: and another thi (cut) | abandoned"]


async def test_a_final_transcript_during_hang_up_is_whole(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.vad.begin()
        call.stt.partial("and another thi")
        await wait_for(call.turns)
        ending = asyncio.ensure_future(call.session.aclose())
        await wait_for(lambda: call.session.input.audio is None)
        call.stt.final("and another thing")
        await ending
    assert call.turns() == ["user: and another thing | abandoned"]


async def test_half_a_sentence_that_the_recogniser_lost_is_kept(tmp_path: Path) -> None:
    async with scene(tmp_path) as call:
        call.vad.begin()
        call.stt.partial("I would like")
        await wait_for(call.turns)
        before = call.stt.stream_count
        call.stt.fail(APIConnectionError("gone"))
        await call.until_said("I would like")
        await wait_for(lambda: call.stt.stream_count > before)
        call.stt.final("a table for two")
        call.vad.end()
        await call.until_turns(
            "user: I would like (cut) | user: a table for two | assistant: yes | completed"
        )


async def test_the_session_dies_of_errors_with_words_half_said(tmp_path: Path) -> None:
    """The framework waits for no transcript then."""
    async with scene(tmp_path) as call:
        held = asyncio.Event()
        broken = ValueError("broken")
        call.model.will(*[Answer(error=broken)] * 3, Answer(error=broken, held=held))
        for count in range(1, 4):
            await call.speaks(f"try {count}")
            await call.until_errors(count)
        await call.speaks("try 4")
        await wait_for(lambda: len(call.model.asked) == 4)
        call.stt.partial("hello are")
        await wait_for(lambda: call.turns()[-1] == "open")
        held.set()
        await call.until_errors(4)
    assert call.said() == ["try 1", "try 2", "try 3", "try 4", "hello are"]
    assert call.turns()[-1] == "user: hello are (cut) | abandoned"


async def test_a_slow_hook_does_not_mix_two_turns(tmp_path: Path) -> None:
    """The person speaks again while the first turn is still being looked at."""
    free = asyncio.Event()

    class Slow(VoiceAgent):
        async def on_user_turn_completed(
            self, turn_ctx: ChatContext, new_message: ChatMessage
        ) -> None:
            await free.wait()

    async with scene(tmp_path, agent=Slow) as call:
        await call.speaks("first")
        await call.until_said("first")
        await call.speaks("second")
        await call.until_said("first", "second")
        free.set()
        await wait_for(lambda: "assistant: yes" in str(call.turns()))
        await call.idle()
    assert call.said() == ["first", "second"]
    assert len(call.bodies(AgentState)) > 0
