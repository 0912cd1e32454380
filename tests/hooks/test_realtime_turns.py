"""Realtime models announce late, twice, empty or never; every turn is recorded exactly once."""

import time
from pathlib import Path

from simulators.scripted.realtime import ScriptedRealtimeModel
from tests.hooks.scene import scene
from tests.support.waiting import wait_for
from voice_agent.domain.events import Message, Transcription, TurnStarted


async def test_a_transcript_that_comes_after_the_reply_stands_before_it(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.paused()
        call.live.answers("hi")
        await call.until_said("hi", role="assistant")
        call.live.final("item_1", "hello")
        await call.until_turns("user: hello | assistant: hi | completed")
    started, asked = call.events_of(TurnStarted)[0], call.events_of(Message)[-1]
    assert asked.turn_id == started.turn_id
    assert asked.body.item_id == "item_1"


async def test_a_transcript_before_its_reply(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.partial("item_1", "hel")
        call.live.paused()
        call.live.final("item_1", "hello")
        call.live.answers("hi")
        await call.until_turns("user: hello | assistant: hi | completed")
    assert [t.item_id for t in call.bodies(Transcription)] == ["item_1"]


async def test_the_same_transcript_twice(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.paused()
        call.live.final("item_1", "hello")
        call.live.final("item_1", "hello")
        call.live.answers("hi")
        await call.until_said("hi", role="assistant")
        call.live.final("item_1", "hello")
        call.live.partial("item_1", "hello")
        await call.idle()
    assert call.turns() == ["user: hello | assistant: hi | completed"]
    assert len(call.bodies(Transcription)) == 1


async def test_an_empty_transcript(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.paused()
        call.live.final("item_1", "")
        await call.until_turns("empty")
        call.live.began()
        call.live.paused()
        call.live.final("item_2", "hello")
        call.live.answers("hi")
        await call.until_turns("empty", "user: hello | assistant: hi | completed")
    assert len(call.bodies(Transcription)) == 1


async def test_two_utterances_whose_transcripts_come_after_the_second_reply(tmp_path: Path) -> None:
    """The provider says when each began: that tells them apart."""
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        began: list[float] = []
        for reply in ("one", "two"):
            call.live.began()
            began.append(time.time())
            call.live.paused()
            call.live.answers(reply)
            await call.until_answered(reply)
            await call.a_moment_later()
        call.live.final("item_2", "second", began_at=began[1])
        call.live.final("item_1", "first", began_at=began[0])
        await call.until_turns("user: first | assistant: one | completed",
                               "user: second | assistant: two | completed")  # fmt: skip


async def test_a_transcript_that_comes_while_the_person_speaks_again(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.paused()
        call.live.answers("one")
        await call.until_said("one", role="assistant")
        call.live.began()
        call.live.final("item_1", "first")
        call.live.paused()
        call.live.final("item_2", "second")
        call.live.answers("two")
        await call.until_turns("user: first | assistant: one | completed",
                               "user: second | assistant: two | completed")  # fmt: skip


async def test_a_transcript_that_never_comes_moves_no_later_one(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        for item_id, said, reply in (("", "", "one"), ("i2", "second", "two"), ("i3", "3rd", "3")):
            call.live.began()
            call.live.paused()
            if said:
                call.live.final(item_id, said)
            call.live.answers(reply)
            await call.until_answered(reply)
            await call.idle()
    assert call.turns() == [
        "assistant: one | completed",
        "user: second | assistant: two | completed",
        "user: 3rd | assistant: 3 | completed",
    ]


async def test_closed_before_the_final_transcript(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.partial("item_1", "and one mo")
        await call.hang_up()
    assert call.turns() == ["user: and one mo (cut) | abandoned"]


async def test_barge_in_with_a_late_transcript(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel(), plays_at_once=False) as call:
        call.loudspeaker.heard = "once upon"
        call.live.began()
        call.live.paused()
        call.live.answers("once upon a time")
        await wait_for(lambda: call.loudspeaker.is_playing)
        call.live.began()
        call.live.final("item_1", "tell me a story")
        call.live.paused()
        await wait_for(lambda: "(cut)" in str(call.turns()))
        call.hear_out()
        call.live.final("item_2", "stop")
        call.live.answers("ok")
        await call.until_turns(
            "user: tell me a story | assistant: once upon (cut) | interrupted",
            "user: stop | assistant: ok | completed",
        )


async def test_beside_a_recogniser_of_its_own(tmp_path: Path) -> None:
    """livekit-agents announces no user message at all then, and keeps none."""
    model = ScriptedRealtimeModel(transcribes=False)
    async with scene(tmp_path, realtime=model, with_stt=True) as call:
        await call.speaks("hello")
        await call.until_said("hello")
        call.live.answers("hi")
        await call.until_turns("user: hello | assistant: hi | completed")
        await call.speaks("and bye")
        await call.until_said("hello", "and bye")
        call.live.answers("bye")
        await call.until_turns("user: hello | assistant: hi | completed",
                               "user: and bye | assistant: bye | completed")  # fmt: skip


async def test_without_turns_of_its_own(tmp_path: Path) -> None:
    """livekit-agents decides when the turn is over and asks for the reply."""
    model = ScriptedRealtimeModel(transcribes=False, takes_turns=False)
    async with scene(tmp_path, realtime=model, with_stt=True) as call:
        await call.speaks("hello")
        await wait_for(lambda: call.live.is_asked)
        call.live.answers("hi")
        await call.until_turns("user: hello | assistant: hi | completed")


async def test_a_typed_line(tmp_path: Path) -> None:
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.session.generate_reply(user_input="typed")
        await wait_for(lambda: call.live.is_asked)
        call.live.answers("read")
        await call.until_turns("user: typed | assistant: read | completed")
    assert [m.modality for m in call.messages("user")] == ["text"]


async def test_a_connection_that_cannot_be_closed(tmp_path: Path) -> None:
    """No close event and no hook comes then; the record of the end needs neither."""
    async with scene(tmp_path, realtime=ScriptedRealtimeModel()) as call:
        call.live.began()
        call.live.partial("item_1", "wait")
        call.live.close_error = ConnectionError("gone")
        await call.hang_up()
    assert call.turns() == ["user: wait (cut) | abandoned"]
