"""A session that is lost and resumed: the service remembers what the application does."""

import logging

import pytest

from simulators.gemini.behaviour import Drop
from tests.gemini.talking import both_remember, serving, stays, talking, told
from tests.support.waiting import wait_for

HELLO = (("user", "hello there"), ("model", "You said hello there"))


async def test_a_first_connection_is_told_the_whole_history_once() -> None:
    async with serving() as server, talking(server) as talk:
        for n in range(3):
            await talk.type(f"line {n}", ask=False)
        await both_remember(
            server, talk, ("user", "line 0"), ("user", "line 1"), ("user", "line 2")
        )
        assert len(server.set_ups) == 1


async def test_a_resume_with_nothing_new_replays_nothing() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.now.cut()
        await wait_for(lambda: [one.kind for one in talk.outcomes] == ["resumed"])
        assert server.now.received == []
        await both_remember(server, talk, *HELLO)


async def test_what_was_typed_while_away_is_sent_after_the_resume_and_answered() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.now.cut()
        await talk.type("and now")
        await both_remember(
            server, talk, *HELLO, ("user", "and now"), ("model", "You said and now")
        )
        assert [(one.kind, one.sent_count) for one in talk.outcomes] == [("resynced", 1)]


async def test_a_tool_that_finishes_while_away_is_answered_to_the_call_that_is_still_open() -> None:
    """S2.6: handle held, the socket drops, the tool finishes, the service has its result."""
    async with serving() as server, talking(server) as talk:
        talk.tools_at_once = False
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        talk.say('use look_up {"word":"fee"}')
        await wait_for(lambda: talk.calls)
        server.now.cut()
        await talk.give(talk.calls[0])
        await both_remember(
            server, talk, ("tool", "look_up(word=fee) = found fee"), ("model", "It says found fee")
        )
        assert told(talk.session).count(("tool", "look_up(word=fee) = found fee")) == 1


async def test_what_is_queued_behind_a_reply_when_the_connection_is_lost_is_told_once() -> None:
    async with serving() as server, talking(server) as talk:
        server.may_speak.clear()
        talk.say("hello there")
        await wait_for(lambda: talk.transcripts)
        await talk.type("queued", ask=False)
        await stays(lambda: ("user", "queued") not in server.conversation.said, for_s=0.1)
        server.now.cut()
        server.may_speak.set()
        await wait_for(lambda: ("model", "You said hello there") in told(talk.session))
        await both_remember(server, talk)
        assert told(talk.session).count(("user", "queued")) == 1


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "arrived"])
async def test_what_is_sent_and_not_acknowledged_when_the_connection_is_lost_is_told_once(
    lost: bool,
) -> None:
    """S2.8: whether it arrived nobody says; the session is resumed from before it."""
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.drops = [Drop(on="client_content", lost=lost)]
        await talk.type("sent", ask=False)
        await wait_for(lambda: talk.outcomes)
        await both_remember(server, talk, *HELLO, ("user", "sent"))
        assert [(one.kind, one.sent_count) for one in talk.outcomes] == [("resynced", 1)]


async def test_a_connection_that_is_lost_while_it_is_set_up_loses_nothing() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.setup_s = 0.2
        server.now.cut()
        for n in range(2):
            await wait_for(lambda n=n: len(server.set_ups) == 2 + n)  # type: ignore[misc]
            await talk.type(f"during {n}", ask=False)
            server.now.cut()
        await both_remember(server, talk, *HELLO, ("user", "during 0"), ("user", "during 1"))
        await wait_for(lambda: [one.kind for one in talk.outcomes] == ["resynced"])


async def test_neither_key_nor_handle_nor_words_are_in_the_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as server, talking(server, key="a-secret-key") as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.now.cut()
        await wait_for(lambda: talk.outcomes)
        await server.now.close(1008, "gone")
        await wait_for(lambda: len(talk.outcomes) == 2)
        handles = list(server.frozen)
    ours = [one for one in caplog.records if one.name.startswith(("voice_agent", "livekit"))]
    assert ours
    said = "\n".join(str(vars(one)) for one in ours)
    for secret in ("a-secret-key", *handles, "hello there"):
        assert secret not in said
