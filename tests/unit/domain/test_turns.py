"""The turn machine: every thing that happens belongs to the right turn."""

import itertools

from voice_agent.domain.events import Message, Speaker, TurnEnded, TurnStarted
from voice_agent.domain.ids import Identity, ItemId, SpeechId, TurnId
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


def half(text: str, item_id: str | None = None) -> Message:
    return Message(role="user", text=text, item_id=ItemId(item_id) if item_id else None)


def late(text: str, item_id: str) -> Message:
    return Message(role="user", text=text, speaker=ADA, item_id=ItemId(item_id))


def test_a_turn_in_pieces_goes_on_until_the_framework_takes_it() -> None:
    t = turns()
    entries = [
        *t.user_began(ADA),
        *t.user_said_part(said("book me")),
        *t.user_began(ADA),
        *t.user_said_part(said("a table")),
        *t.user_finished(TurnId("t1")),
        *t.user_began(ADA),
    ]
    assert shown(entries) == ["t1 started by user", "t1 user: book me", "t1 user: a table",
                              "t1 interrupted", "t2 started by user"]  # fmt: skip


def test_who_speaks_again_while_a_turn_is_taken_has_begun_the_next() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said_part(said("one"))
    t.user_paused()
    t.speech_created(S1)
    t.user_began(ADA)
    assert shown(t.user_finished(TurnId("t1"))) == ["t2 started by user"]
    assert shown(t.user_said_part(said("two"))) == ["t2 user: two"]
    assert t.user_finished(TurnId("gone")) == []


def test_words_that_nobody_saw_begin_have_a_turn() -> None:
    t = turns()
    assert shown(t.user_said_part(said("one"))) == ["t1 started by user", "t1 user: one"]
    t.user_finished(TurnId("t1"))
    assert shown(t.user_half_said(half("tw"))) == ["t1 interrupted", "t2 started by user"]
    assert t.half_said(None) == "tw"
    assert shown(t.user_said_part(said("two"))) == ["t2 user: two"]
    assert t.half_said(None) == ""


def test_a_transcript_that_comes_after_its_reply_began_is_in_its_turn() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_paused()
    t.speech_created(S1)
    t.agent_began(S1)
    assert shown(t.user_said_part(said("hello"))) == ["t1 user: hello"]


def test_what_the_recogniser_had_half_heard_when_it_failed_is_kept_once() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_half_said(half("I wo"))
    (turn_id, message), *rest = t.user_cut_off()
    assert isinstance(message, Message)
    assert (turn_id, message.text, message.interrupted, rest) == ("t1", "I wo", True, [])
    assert t.user_cut_off() == []
    assert shown(t.closed()) == ["t1 abandoned"]


def test_what_is_half_said_at_the_end_is_said_in_its_turn() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_half_said(half("and", "i1"))
    t.user_half_said(half("and one", "i1"))
    assert shown(t.closed()) == ["t1 user: and one", "t1 abandoned"]


def test_two_utterances_are_told_apart_by_when_they_began() -> None:
    t = turns()
    for at, speech_id in ((10.0, S1), (20.0, S2)):
        t.user_began(ADA, at=at)
        t.user_paused()
        t.speech_created(speech_id)
        t.agent_said(speech_id, answered("yes"))
        t.speech_done(speech_id, interrupted=False)
    assert shown(t.user_said(late("second", "i2"), began_at=20.05)) == ["t2 user: second"]
    assert shown(t.user_said(late("first", "i1"), began_at=10.0)) == ["t1 user: first"]


def test_a_transcript_is_not_of_the_turn_that_is_being_spoken() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_paused()
    t.speech_created(S1)
    t.agent_said(S1, answered("yes"))
    t.user_began(ADA)
    assert shown(t.user_said(late("first", "i1"))) == ["t1 user: first"]
    assert shown(t.user_said(late("second", "i2"))) == ["t2 user: second"]
    assert shown(t.user_said(late("third", "i3")))[-1] == "t3 user: third"


def test_a_transcript_without_words_ends_a_turn_that_nobody_answers() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_half_said(half("uh", "i1"))
    assert shown(t.user_said_nothing(ItemId("i1"))) == ["t1 empty"]
    assert t.user_said_nothing(ItemId("i1")) == []
    t.user_began(ADA)
    t.speech_created(S1)
    assert t.user_said_nothing(ItemId("i2")) == []
    assert shown(t.speech_done(S1, interrupted=False)) == ["t2 empty"]


def test_a_typed_line_takes_the_reply_that_was_made_for_it() -> None:
    t = turns()
    assert t.speech_created(S1) == []
    entries = [
        *t.user_typed(said("typed")),
        *t.agent_began(S1),
        *t.agent_said(S1, answered("read")),
        *t.speech_done(S1, interrupted=False),
    ]
    assert shown(entries) == ["t1 started by user", "t1 user: typed", "t1 assistant: read",
                              "t1 completed"]  # fmt: skip


def test_a_line_typed_into_a_turn_ends_it_and_takes_its_newest_reply() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("spoken"))
    t.speech_created(S1)
    entries = [*t.user_typed(said("typed")), *t.agent_said(S1, answered("read"))]
    assert shown(entries) == ["t1 interrupted", "t2 started by user", "t2 user: typed",
                              "t2 assistant: read"]  # fmt: skip


def test_a_typed_line_that_nobody_answers_is_a_turn() -> None:
    t = turns()
    t.user_typed(said("typed"))
    assert shown(t.closed()) == ["t1 abandoned"]


def test_an_announcement_beside_a_person_who_speaks_takes_nothing_from_their_turn() -> None:
    t = turns()
    t.speech_created(S1)
    t.user_began(ADA)
    assert shown(t.agent_began(S1)) == ["t2 started by agent"]
    assert t.agent_began(None) == []
    assert t.current == "t1"
    assert shown(t.agent_said(S1, answered("welcome"))) == ["t2 assistant: welcome"]


def test_a_speech_that_was_never_heard_and_answers_nobody_is_no_turn() -> None:
    t = turns()
    t.speech_created(S1)
    assert t.speech_done(S1, interrupted=True) == []
    assert t.closed() == []


def test_a_tool_answers_a_turn_without_a_word() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("hush"))
    t.speech_created(S1)
    t.agent_acted(t.current)
    t.agent_acted(TurnId("gone"))
    assert shown(t.speech_done(S1, interrupted=False)) == ["t1 completed"]


def test_a_reply_that_follows_a_tool_is_of_the_same_turn_and_is_not_somebody_who_speaks() -> None:
    t = turns()
    t.user_began(ADA)
    t.user_said(said("look it up"))
    t.speech_created(S1)
    t.agent_acted(t.current, reply_follows=True)
    assert t.speech_done(S1, interrupted=False) == []
    assert t.user_began(ADA) == []
    t.speech_created(S2)
    entries = [*t.agent_said(S2, answered("here")), *t.speech_done(S2, interrupted=False)]
    assert shown(entries) == ["t1 assistant: here", "t1 completed"]


def test_a_tool_whose_reply_never_comes_leaves_a_turn_that_is_answered() -> None:
    t = turns()
    t.user_said(said("look it up"))
    t.speech_created(S1)
    t.agent_acted(t.current, reply_follows=True)
    t.speech_done(S1, interrupted=False)
    assert shown(t.closed()) == ["t1 completed"]


def test_a_reply_that_came_to_nothing_leaves_the_turn_abandoned_or_interrupted() -> None:
    t = turns()
    t.user_said(said("one"))
    t.speech_created(S1)
    assert shown(t.speech_done(S1, interrupted=False)) == ["t1 abandoned"]
    t.user_said(said("two"))
    t.speech_created(S2)
    t.speech_done(S2, interrupted=True)
    assert shown(t.closed()) == ["t2 interrupted"]


def test_what_is_said_of_a_speech_that_nobody_knows_belongs_to_no_turn() -> None:
    t = turns()
    assert t.agent_said(S1, answered("hm"))[0][0] is None
    assert t.speech_done(S1, interrupted=False) == []
    assert t.turn_of(S1) is None
