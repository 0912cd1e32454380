"""The pure parts of the embedded voice: cutting audio, cutting replies, judging pauses."""

from __future__ import annotations

import asyncio

import pytest

from voice_agent.providers.local import wire
from voice_agent.providers.local.completeness import hands_over, is_complete
from voice_agent.providers.local.segments import WINDOW_BYTES, WINDOW_S, Cue, Pacing, Segmenter
from voice_agent.providers.local.sentences import PIECE_CHARS, pieces

WINDOW = bytes(WINDOW_BYTES)


def feed(segmenter: Segmenter, seconds: float, probability: float) -> list[Cue]:
    cues = [segmenter.feed(WINDOW, probability) for _ in range(round(seconds / WINDOW_S))]
    return [cue for cue in cues if cue]


def test_a_settled_utterance_ends_after_the_short_silence_and_keeps_its_first_sound() -> None:
    segmenter = Segmenter(Pacing())
    feed(segmenter, 1.0, 0.01)
    assert feed(segmenter, 0.4, 0.9) == [Cue.STARTED]
    assert feed(segmenter, 0.13, 0.01) == [Cue.PAUSED]
    assert (
        segmenter.settle(segmenter.utterance(), sure=True) is None
    )  # not silent for long enough yet
    assert feed(segmenter, 0.15, 0.01) == [Cue.ENDED]
    utterance = segmenter.utterance()
    seconds = len(utterance.pcm) / WINDOW_BYTES * WINDOW_S
    assert seconds == pytest.approx(0.3 + 0.4 + 0.256 - WINDOW_S, abs=0.07)
    assert utterance.ended_s - utterance.began_s == pytest.approx(0.4, abs=0.04)


def test_an_utterance_that_is_not_settled_waits_for_the_rest_of_its_sentence() -> None:
    segmenter = Segmenter(Pacing())
    feed(segmenter, 0.4, 0.9)
    assert feed(segmenter, 0.6, 0.01) == [Cue.PAUSED]
    assert feed(segmenter, 0.1, 0.9) == [Cue.RESUMED]
    assert feed(segmenter, 0.9, 0.01) == [Cue.PAUSED, Cue.ENDED]
    assert segmenter.utterance().number == 1


def test_what_was_settled_before_the_speaker_went_on_counts_no_more() -> None:
    segmenter = Segmenter(Pacing())
    feed(segmenter, 0.4, 0.9)
    feed(segmenter, 0.15, 0.01)
    before = segmenter.utterance()
    feed(segmenter, 0.2, 0.9)
    assert segmenter.settle(before, sure=True) is None
    assert feed(segmenter, 0.3, 0.01) == [Cue.PAUSED]


def test_a_late_settlement_ends_the_utterance_at_once() -> None:
    segmenter = Segmenter(Pacing())
    feed(segmenter, 0.4, 0.9)
    feed(segmenter, 0.5, 0.01)
    assert segmenter.settle(segmenter.utterance(), sure=True) is Cue.ENDED


def test_words_that_could_go_on_are_given_time_for_a_pause_for_thought() -> None:
    segmenter = Segmenter(Pacing())
    feed(segmenter, 0.4, 0.9)
    feed(segmenter, 0.3, 0.01)
    assert segmenter.settle(segmenter.utterance(), sure=False) is None
    assert feed(segmenter, 0.18, 0.01) == []  # 15 windows of silence: half a second of it
    assert feed(segmenter, 0.1, 0.01) == [Cue.ENDED]


def test_words_are_wanted_every_half_second_of_speech() -> None:
    assert feed(Segmenter(Pacing()), 2.1, 0.9) == [Cue.STARTED, *[Cue.WORDS] * 4]


def test_a_click_is_no_speech() -> None:
    segmenter = Segmenter(Pacing())
    assert feed(segmenter, WINDOW_S, 0.9) == []
    assert feed(segmenter, 1.0, 0.01) == []


def test_endless_speech_is_cut() -> None:
    cues = feed(Segmenter(Pacing(longest_s=3.0)), 4.0, 0.9)
    assert Cue.ENDED in cues
    assert cues[cues.index(Cue.ENDED) + 1] is Cue.STARTED


def test_long_speech_ends_at_a_short_pause() -> None:
    segmenter = Segmenter(Pacing(long_s=2.0))
    feed(segmenter, 2.5, 0.9)
    assert feed(segmenter, 0.15, 0.01) == [Cue.ENDED]


@pytest.mark.parametrize(
    "text",
    [
        "What time is it?",
        "Hello, who are you?",
        "Where are you from?",
        "What did I say?",
        "Thank you, goodbye.",
        "At the moment, I live in Madrid.",
        "My name is Ada Lovelace.",
        "No.",
        "",
    ],
)
def test_whole_sentences_are_complete(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    "text",
    [
        "My name is.",
        "At the moment.",
        "I live in.",
        "Please tell me what time it is in.",
        "I want to",
        "Hello, my name is",
        "Okay, and",
        "What time is it in?",
        "I would like,",
    ],
)
def test_beginnings_of_sentences_are_not_complete(text: str) -> None:
    assert not is_complete(text)


@pytest.mark.parametrize(
    "text", ["What time is it?", "Hello, who are you?", "Hello. Can you count to twenty?"]
)
def test_a_question_that_stands_alone_hands_the_turn_over(text: str) -> None:
    assert hands_over(text)


@pytest.mark.parametrize(
    "text",
    ["My name is Ada Lovelace.", "What?", "No.", "What time is it in?", "", "Five o'clock today?"],
)
def test_a_statement_may_go_on(text: str) -> None:
    assert not hands_over(text)


def test_a_reply_is_cut_into_sentences_and_no_word_is_lost() -> None:
    reply = 'Hello there. How are you? "Fine!" She said: it is 10.30 now.'
    assert pieces(reply)[:2] == ["Hello there.", "How are you?"]
    assert " ".join(pieces(reply)).replace('"', "") == reply.replace('"', "")


def test_a_long_sentence_is_cut_at_a_comma_and_an_endless_one_at_a_space() -> None:
    long = "one, " * 60
    assert all(len(piece) <= PIECE_CHARS for piece in pieces(long))
    assert " ".join(pieces(long)) == long.strip()
    spaced = "word " * 60
    assert all(len(piece) <= PIECE_CHARS for piece in pieces(spaced))
    assert pieces("x" * 500) == ["x" * 500]
    assert pieces("  ") == []


async def read(data: bytes) -> wire.Frame:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await wire.read_frame(reader)


async def test_frames_come_back_as_they_were_written() -> None:
    kind, body = await read(wire.recognise(b"\x01\x02", urgency=wire.Urgency.SOON))
    assert (kind, wire.split_recognise(body)) == (
        wire.Kind.RECOGNISE,
        (wire.Urgency.SOON, b"\x01\x02"),
    )
    kind, body = await read(wire.synthesise("größer", slack_s=1.5))
    assert (kind, wire.split_synthesise(body)) == (wire.Kind.SYNTHESISE, (1.5, "größer"))
    kind, body = await read(wire.audio(b"\x01\x02", rate=22_050))
    assert (kind, wire.split_audio(body)) == (wire.Kind.AUDIO, (22_050, b"\x01\x02"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x00\x01",  # no kind
        b"\xff\xff\xff\xff\x01",  # too long
        b"\x00\x00\x00\x01\x63",  # unknown kind
    ],
)
async def test_bytes_of_another_protocol_are_refused(data: bytes) -> None:
    with pytest.raises(wire.MalformedFrame):
        await read(data)


@pytest.mark.parametrize("body", [b"", b"\x07ab", b"\x00abc"])
def test_broken_recognition_requests_are_refused(body: bytes) -> None:
    with pytest.raises(wire.MalformedFrame):
        wire.split_recognise(body)


@pytest.mark.parametrize("body", [b"ab", b"\x00\x00\x00\x00\xff"])
def test_broken_synthesis_requests_are_refused(body: bytes) -> None:
    with pytest.raises(wire.MalformedFrame):
        wire.split_synthesise(body)
