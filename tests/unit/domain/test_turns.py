"""The turn machine: every thing that happens belongs to the right turn."""

import itertools

from voice_agent.domain.events import Message, Speaker, TurnEnded, TurnStarted
from voice_agent.domain.ids import Identity, SpeechId, TurnId
from voice_agent.domain.turns import Entry, Turns

ADA = Speaker(identity=Identity("ada"))
S1, S2 = SpeechId("s1"), SpeechId("s2")


def turns() -> Turns:
    numbers = itertools.count(1)
    return Turns(lambda: TurnId(f"t{next(numbers)}"))


def said(text: str) -> Message:
    return Message(role="user", text=text, speaker=ADA)


def answered(text: str, *, interrupted: bool = False) -> Message:
    return Message(role="assistant", text=text, interrupted=interrupted)


def shown(entries: list[Entry]) -> list[str]:
    def show(entry: Entry) -> str:
        turn, body = entry
        match body:
            case TurnStarted(initiator=initiator):
                return f"{turn} started by {initiator}"
            case TurnEnded(outcome=outcome):
                return f"{turn} {outcome}"
            case Message(role=role, text=text):
                return f"{turn} {role}: {text}"
        return f"{turn} {body.kind}"

    return [show(entry) for entry in entries]


def test_an_utterance_and_its_reply_are_one_turn() -> None:
    t = turns()
    entries = [
        *t.user_began(ADA),
        *t.speech_created(S1),
        *t.user_said(said("hello")),
        *t.agent_said(S1, answered("hi")),
        *t.speech_done(S1, interrupted=False),
    ]
    assert shown(entries) == ["t1 started by user", "t1 user: hello", "t1 assistant: hi",
                              "t1 completed"]  # fmt: skip
    assert t.current is None


def test_a_greeting_is_a_turn_without_a_user() -> None:
    t = turns()
    entries = [
        *t.speech_created(S1),
        *t.agent_said(S1, answered("welcome")),
        *t.speech_done(S1, interrupted=False),
    ]
    assert shown(entries) == ["t1 started by agent", "t1 assistant: welcome", "t1 completed"]


def test_a_pause_inside_an_utterance_does_not_begin_a_new_turn() -> None:
    t = turns()
    assert len(t.user_began(ADA)) == 1
    assert t.user_began(ADA) == []


def test_a_reply_prepared_too_early_ends_nothing() -> None:
    t = turns()
    t.user_began(ADA)
    t.speech_created(S1)
    assert t.speech_done(S1, interrupted=True) == []
    t.speech_created(S2)
    entries = [
        *t.user_said(said("hello there")),
        *t.agent_said(S2, answered("hi")),
        *t.speech_done(S2, interrupted=False),
    ]
    assert shown(entries)[-1] == "t1 completed"


def test_barge_in_ends_the_first_turn_as_interrupted_and_begins_the_next() -> None:
    t = turns()
    t.user_began(ADA)
    t.speech_created(S1)
    t.user_said(said("tell me a story"))
    entries = [
        *t.user_began(ADA),
        *t.agent_said(S1, answered("Once upon", interrupted=True)),
        *t.speech_done(S1, interrupted=True),
        *t.speech_created(S2),
        *t.user_said(said("stop")),
        *t.agent_said(S2, answered("ok")),
        *t.speech_done(S2, interrupted=False),
    ]
    assert shown(entries) == [
        "t2 started by user",
        "t1 assistant: Once upon",
        "t1 interrupted",
        "t2 user: stop",
        "t2 assistant: ok",
        "t2 completed",
    ]


def test_interrupted_before_the_first_word_the_turn_waits_for_another_reply_or_the_next_turn() -> (
    None
):
    t = turns()
    t.user_began(ADA)
    t.user_said(said("one"))
    t.speech_created(S1)
    assert t.speech_done(S1, interrupted=True) == []
    assert shown(t.user_began(ADA)) == ["t1 interrupted", "t2 started by user"]


def test_noise_without_words_is_an_empty_turn() -> None:
    t = turns()
    t.user_began(ADA)
    assert shown(t.closed()) == ["t1 empty"]


def test_typed_text_begins_its_own_turn() -> None:
    t = turns()
    entries = [*t.user_said(said("typed")), *t.speech_created(S1)]
    assert shown(entries) == ["t1 started by user", "t1 user: typed"]


def test_a_transcript_after_its_reply_stands_in_the_turn_of_that_reply() -> None:
    t = turns()
    t.user_began(ADA)
    t.speech_created(S1)
    t.agent_said(S1, answered("hi"))
    t.speech_done(S1, interrupted=False)
    assert shown(t.user_said(said("hello, late"))) == ["t1 user: hello, late"]


def test_a_tool_step_keeps_the_turn_open_until_the_last_word() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("time?"))
    t.speech_created(S1)
    t.agent_said(S1, answered("let me see"))
    entries = [*t.agent_said(S1, answered("noon")), *t.speech_done(S1, interrupted=False)]
    assert shown(entries) == ["t1 assistant: noon", "t1 completed"]


def test_the_end_of_a_call_closes_what_is_open_as_far_as_it_got() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("unanswered"))
    assert shown(t.closed()) == ["t1 abandoned"]
    t.user_began(ADA)
    t.user_said(said("half"))
    t.speech_created(S1)
    t.agent_said(S1, answered("an", interrupted=True))
    assert shown(t.closed()) == ["t2 interrupted"]
    assert t.closed() == []


def test_delays_are_noted_once_and_end_with_the_turn() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("hello"))
    t.measured(t.current, {"transcription_s": 0.2})
    t.speech_created(S1)
    t.agent_said(S1, answered("hi"))
    t.measured(t.turn_of(S1), {"llm_ttft_s": 0.1, "transcription_s": 9.0})
    (_, ended), *_ = t.speech_done(S1, interrupted=False)
    assert isinstance(ended, TurnEnded)
    assert ended.delays == {"transcription_s": 0.2, "llm_ttft_s": 0.1}
