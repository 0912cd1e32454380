"""Words of a transcript and of the item that repeats them are the same words, once."""

from hypothesis import given
from hypothesis import strategies as st

from voice_agent.domain.ids import TurnId
from voice_agent.domain.words import Words

T1, T2, T3 = TurnId("t1"), TurnId("t2"), TurnId("t3")


def heard(*pieces: tuple[str, TurnId]) -> Words:
    words = Words()
    for text, turn_id in pieces:
        words.recorded(text, turn_id)
    return words


def test_an_item_repeats_what_was_heard() -> None:
    words = heard(("hello", T1))
    assert words.claim("hello") == T1
    assert words.claim("hello") is None


def test_an_item_repeats_several_transcripts_whatever_the_spaces() -> None:
    assert heard(("book  me", T1), (" a table ", T1)).claim("book me a table") == T1


def test_what_no_item_carries_is_passed_over() -> None:
    words = heard(("to myself", T1), ("to you", T2))
    assert words.claim("to you") == T2
    assert words.claim("to myself") is None


def test_an_item_that_is_late_leaves_the_next_its_words() -> None:
    words = heard(("first", T1), ("second", T2))
    assert words.claim("first") == T1
    assert words.claim("second") == T2


def test_an_edited_item_leaves_later_items_their_words() -> None:
    words = heard(("one", T1), ("more", T1), ("two", T2), ("three", T3))
    assert words.claim("[one] [more]") == T1
    assert words.claim("two") == T2
    assert words.claim("[three]") == T3
    assert words.claim("nobody heard this") is None


SAID = st.lists(st.sampled_from(["yes", "no", "I want"]), min_size=1, max_size=3)
FATE = st.sampled_from(["announced", "edited", "never"])
TURNS = st.lists(st.tuples(SAID, FATE, st.integers(0, 3)), max_size=6)


@given(TURNS)
def test_whatever_order_things_come_in_nothing_is_announced_as_new(
    turns: list[tuple[list[str], str, int]],
) -> None:
    """Turns in pieces, whose items come in order, some turns late, edited, or never."""
    words = Words()
    owed: list[str] = []
    for number, (pieces, fate, due) in enumerate(turns):
        for text in pieces:
            words.recorded(text, TurnId(str(number)))
        if fate != "never":
            owed.append(" ".join(pieces) if fate == "announced" else f"({number})")
        for text in owed[:due]:
            assert words.claim(text) is not None
        del owed[:due]
    for text in owed:
        assert words.claim(text) is not None
