"""A session that is lost and resumed: the service remembers what the application does."""

from tests.gemini.talking import both_remember, serving, talking, told
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
