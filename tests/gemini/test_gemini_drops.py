"""A call that is cut at every one of its messages: nothing is missing, doubled or moved."""

import pytest

from simulators.gemini.behaviour import Behaviour, Drop, GoAway
from simulators.gemini.server import GeminiServer
from tests.gemini.talking import Talk, both_remember, serving, talking, told
from tests.support.waiting import wait_for

BOUNDARIES = 51
"""Messages of the recorded call, both ways; a test below counts them."""
HELLO = (("user", "hello there"), ("model", "You said hello there"))
SAID = ["hello there", "typed", 'use look_up {"word":"fee"}', "the end"]


async def recorded_call(server: GeminiServer, talk: Talk) -> None:
    """Two spoken turns, a typed one, a tool. Goes on when each is remembered on both sides."""
    talk.say("hello there")
    await answered(server, talk, "hello there")
    await talk.type("typed")
    await answered(server, talk, "typed")
    talk.say(SAID[2])
    await answered(server, talk, SAID[2])
    talk.say("the end")
    await answered(server, talk, "the end")


async def answered(server: GeminiServer, talk: Talk, words: str) -> None:
    """Both sides remember the words, and a reply or a tool's outcome after them."""

    def is_there() -> bool:
        lines = told(talk.session)
        return ("user", words) in lines and lines[-1][0] == "model" and lines[-1][1] != words

    await both_remember(server, talk, also=is_there)


def once_and_in_order(talk: Talk) -> None:
    """What was said is there once each, in the order it was said; each has its answer."""
    lines = told(talk.session)
    users = [text for role, text in lines if role == "user"]
    assert users == SAID
    tools = [text for role, text in lines if role == "tool"]
    assert tools == ["look_up(word=fee) = found fee"]
    for n, line in enumerate(lines):
        if line[0] == "user":
            assert lines[n + 1][0] in {"model", "tool"}


async def test_the_recorded_call_has_as_many_messages_as_are_cut() -> None:
    async with serving() as server, talking(server) as talk:
        await recorded_call(server, talk)
        once_and_in_order(talk)
        assert len(server.passed) == BOUNDARIES, [f"{p.way} {p.kind}" for p in server.passed]


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "arrived"])
@pytest.mark.parametrize("at", range(1, BOUNDARIES + 1))
async def test_a_call_that_is_cut_at_a_message_is_remembered_by_both_sides(
    at: int, lost: bool
) -> None:
    behaviour = Behaviour(drops=[Drop(at=at, lost=lost)])
    async with serving(behaviour) as server, talking(server) as talk:
        await recorded_call(server, talk)
        assert not behaviour.drops
        once_and_in_order(talk)


@pytest.mark.parametrize("left_s", [5.0, 0.05], ids=["in time", "at once"])
@pytest.mark.parametrize("at", range(1, BOUNDARIES + 1))
async def test_a_call_that_is_told_to_go_at_a_message_is_remembered_by_both_sides(
    at: int, left_s: float
) -> None:
    """S2.12: with time left the switch is between turns: nobody hears of it, nothing is asked."""
    behaviour = Behaviour(go_aways=[GoAway(at=at, left_s=left_s)])
    async with serving(behaviour) as server, talking(server) as talk:
        await recorded_call(server, talk)
        await wait_for(lambda: len(server.connections) > 1)
        once_and_in_order(talk)
        assert not behaviour.go_aways
        if left_s > 1:
            await wait_for(lambda: talk.outcomes)
            assert [one.cause for one in talk.outcomes] == ["go away"]
            assert [one.kind for one in talk.outcomes] != ["reseeded"] or not server.frozen
            assert not talk.errors


async def test_a_reply_that_is_cut_in_its_middle_goes_on_after_the_resume() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.piece_s = 0.05
        before = talk.pieces_heard
        talk.say("one two three four five six seven")
        await wait_for(lambda: talk.pieces_heard > before)
        server.now.cut()
        await both_remember(server, talk, ("model", "As I was saying."))
        lines = told(talk.session)
        assert lines[-2][0] == "model"
        assert "You said one two three four five six seven".startswith(lines[-2][1])


async def test_a_reply_to_a_tool_that_is_cut_before_its_first_word_comes_after_the_resume() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.may_speak.clear()
        talk.say(SAID[2])
        await wait_for(
            lambda: ("tool", "look_up(word=fee) = found fee") in server.conversation.said
        )
        server.now.cut()
        server.may_speak.set()
        await both_remember(server, talk, ("model", "It says found fee"))
