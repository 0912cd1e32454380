"""A caller may pause for thought: half a second inside a sentence ends no turn."""

from pathlib import Path

import pytest

from tests.scenarios.calling import Calling, texts

pytestmark = pytest.mark.scenario

SAID = {
    "pause_name.wav": ("my name is", "grace hopper"),
    "pause_time.wav": ("tell me what time it is in", "paris"),
    "pause_home.wav": ("at the moment", "i live in madrid"),
}


@pytest.mark.timeout(180)
async def test_sentences_with_half_a_second_of_silence_inside_are_one_message_each(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (opened, caller):
        for name in SAID:
            await caller.turn(spoken / name)
        messages = await calling.said(opened.conversation_id, len(SAID))

    heard = texts(messages)
    assert len(heard) == len(SAID), heard
    for words, (before, after) in zip(heard, SAID.values(), strict=True):
        assert before in words, heard  # "please" is heard as "place" now and then
        assert words.endswith(after), heard
    answers = [m for m in messages if m["role"] == "assistant"][1:]  # the first is the greeting
    assert not any(m["interrupted"] for m in answers), answers
