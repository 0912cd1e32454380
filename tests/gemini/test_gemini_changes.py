"""What an application may change while a session runs, and what the service hears of it."""

import pytest
from livekit.agents import llm

from simulators.gemini.behaviour import Behaviour
from tests.gemini.talking import Talk, both_remember, look_up, other, serving, stays, talking, told
from tests.support.waiting import wait_for
from voice_agent.providers.gemini.models import Accepts, accepts

HELLO = (("user", "hello there"), ("model", "You said hello there"))
AGAIN = (("user", "again"), ("model", "You said again"))


async def typed(talk: Talk, *lines: str) -> None:
    for text in lines:
        await talk.type(text, ask=False)


def kinds(talk: Talk) -> list[str]:
    return [one.kind for one in talk.outcomes]


@pytest.mark.parametrize("away", [True, False], ids=["while away", "while connected"])
@pytest.mark.parametrize("change", ["edit", "remove", "insert", "clear"])
async def test_a_change_of_what_was_said_reaches_the_service(change: str, away: bool) -> None:
    async with serving() as server, talking(server) as talk:
        await typed(talk, "one", "two", "three")
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        if away:
            server.behaviour.setup_s = 0.1
            server.now.cut()
        context = talk.session.chat_ctx.copy()
        if change == "edit":
            context.items[1] = llm.ChatMessage(
                id=context.items[1].id, role="user", content=["two and a half"]
            )
        elif change == "remove":
            del context.items[1]
        elif change == "insert":
            context.items.insert(1, llm.ChatMessage(role="user", content=["one and a half"]))
        else:
            context = llm.ChatContext.empty()
        await talk.session.update_chat_ctx(context)
        await wait_for(lambda: kinds(talk) == ["reseeded"])
        await both_remember(server, talk)
        talk.say("again")
        await both_remember(server, talk, *AGAIN)


async def test_trimming_the_window_is_never_sent_and_shapes_the_next_seed() -> None:
    async with serving() as server, talking(server) as talk:
        await typed(talk, "one", "two", "three")
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        context = talk.session.chat_ctx.copy()
        summary = llm.ChatMessage(role="system", content=["They counted."])
        context.items[:2] = [summary]
        await talk.session.update_chat_ctx(context)
        talk.say("again")
        await wait_for(lambda: told(talk.session)[-2:] == list(AGAIN))
        assert server.conversation.said[:3] == [("user", "one"), ("user", "two"), ("user", "three")]
        assert len(server.set_ups) == 1
        server.behaviour.expired = True
        server.now.cut()
        await wait_for(lambda: kinds(talk) == ["reseeded"])
        shown = ("user", "<instructions>\nThey counted.\n</instructions>")
        assert server.conversation.said == [shown, ("user", "three"), *HELLO, *AGAIN]


@pytest.mark.parametrize("away", [True, False], ids=["while away", "while connected"])
async def test_new_instructions_and_tools_are_in_the_next_setup_and_the_memory_stays(
    away: bool,
) -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        if away:
            server.behaviour.setup_s = 0.1
            server.now.cut()
        await talk.session.update_instructions("Be long.")
        await talk.session.update_tools([look_up, other])
        await wait_for(lambda: "Be long." in str(server.now.setup) and server.is_connected)
        await wait_for(lambda: "'other'" in str(server.now.setup))
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert set(kinds(talk)) == {"resumed"}


async def test_a_go_away_is_followed_between_turns_when_the_tools_are_done() -> None:
    async with serving() as server, talking(server) as talk:
        talk.tools_at_once = False
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        talk.say('use look_up {"word":"fee"}')
        await wait_for(lambda: talk.calls)
        server.may_speak.clear()
        first = server.now
        await first.go_away(10.0)
        await stays(lambda: server.now is first)
        await talk.give(talk.calls[0])
        await wait_for(lambda: not first.conversation.open_calls)
        assert server.now is first
        server.may_speak.set()
        await wait_for(lambda: server.now is not first)
        await both_remember(server, talk, ("model", "It says found fee"))
        await wait_for(lambda: talk.outcomes)
        assert [(one.kind, one.cause) for one in talk.outcomes] == [("resumed", "go away")]


async def test_a_go_away_with_no_time_left_is_followed_in_mid_reply() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.may_speak.clear()
        talk.say("again")
        first = server.now
        await wait_for(lambda: ("user", "again") in first.conversation.said)
        await first.go_away(0.2)
        await wait_for(lambda: server.now is not first)
        server.may_speak.set()
        await both_remember(server, talk, *HELLO, *AGAIN)


async def test_two_drops_in_a_row_lose_nothing() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        for n in range(3):
            count = len(server.connections)
            server.now.cut()
            await talk.type(f"line {n}", ask=False)
            await wait_for(lambda count=count: len(server.connections) > count)  # type: ignore[misc]
        talk.say("again")
        await both_remember(
            server, talk, *HELLO, ("user", "line 0"), ("user", "line 1"), ("user", "line 2"), *AGAIN
        )


async def test_a_handle_that_comes_amid_the_words_does_not_cover_what_came_later() -> None:
    """S2.7, S2.8: the difference is judged against the moment the handle was issued."""
    behaviour = Behaviour(handle_after_transcript=True, handle_when_told=True)
    async with serving(behaviour) as server, talking(server) as talk:
        await typed(talk, "one")
        server.may_speak.clear()
        talk.say("hello there")
        await wait_for(lambda: len(server.frozen) >= 2)
        server.now.cut()
        server.may_speak.set()
        await both_remember(server, talk, ("user", "one"), *HELLO)


async def test_what_is_typed_while_the_model_speaks_waits_for_a_pause() -> None:
    async with serving() as server, talking(server) as talk:
        server.may_speak.clear()
        interim: list[object] = []
        talk.session.on("input_audio_transcription_completed", interim.append)
        talk.say("hello there")
        await wait_for(lambda: interim, what="words were heard")
        await typed(talk, "by the way")
        server.may_speak.set()
        await both_remember(server, talk, *HELLO, ("user", "by the way"))


async def test_a_model_that_takes_content_only_at_first_is_told_in_its_own_way() -> None:
    """S2.4, S2.11: 1007 for client content after the first turn; history announced once."""
    behaviour = Behaviour(content_at_first_only=True)
    model = "gemini-3.1-flash-live-preview-initial-history"
    async with serving(behaviour) as server, talking(server, model=model) as talk:
        await typed(talk, "one")
        talk.say("hello there")
        await both_remember(server, talk, ("user", "one"), *HELLO)
        server.now.cut()
        await wait_for(lambda: kinds(talk) == ["resumed"])
        await talk.type("and now", ask=False)
        await wait_for(lambda: ("model", "You said and now") in told(talk.session))
        announced = ["historyConfig" in str(one) for one in server.set_ups]
        assert announced == [True, False]


async def test_a_call_that_was_rejected_holds_no_switch_back() -> None:
    """A model that may use no tool and tries: the plugin answers it, and nothing waits for it."""
    async with serving() as server, talking(server) as talk:
        talk.session.update_options(tool_choice="none")
        talk.say('use look_up {"word":"fee"}')
        await wait_for(lambda: any(role == "model" for role, _ in told(talk.session)))
        await talk.session.update_instructions("Be long.")
        await wait_for(lambda: "Be long." in str(server.now.setup) and server.is_connected)
        assert not talk.calls


async def test_a_call_that_is_cancelled_when_the_caller_speaks_is_told_once_in_words() -> None:
    async with serving(Behaviour(cancels_calls=True)) as server, talking(server) as talk:
        talk.tools_at_once = False
        talk.say('use look_up {"word":"fee"}')
        await wait_for(lambda: talk.calls)
        talk.say("again")
        await both_remember(server, talk, *AGAIN)
        await talk.give(talk.calls[0])
        await both_remember(server, talk, *AGAIN, ("tool", "look_up(word=fee) = found fee"))


async def test_a_model_that_takes_new_instructions_in_a_live_session_keeps_its_connection() -> None:
    """S2.11: how it learns of them is data, a row of ``models``."""
    async with serving() as server, talking(server, model="gemini-3.8-live") as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        first = server.now
        await talk.session.update_instructions("Be long.")
        await wait_for(lambda: "Be long." in str(first.setup))
        assert server.now is first


@pytest.mark.parametrize(
    ("model", "vertexai", "wanted"),
    [
        ("gemini-2.5-flash-native-audio-preview-12-2025", False, Accepts()),
        ("models/gemini-2.5-flash-native-audio-preview-12-2025", False, Accepts()),
        ("of-tomorrow", False, Accepts()),
        ("gemini-3.1-flash-live-preview", False, Accepts(placeholder=False)),
        ("gemini-3.8-live", False, Accepts(placeholder=False, instructions_by="update")),
    ],
)
def test_what_a_model_accepts_is_a_row(model: str, vertexai: bool, wanted: Accepts) -> None:
    assert accepts(model, vertexai=vertexai) == wanted


def test_early_31_takes_content_at_first_only_and_vertex_has_its_own_row() -> None:
    early = accepts("gemini-3.1-flash-live-preview-initial-history", vertexai=False)
    assert (early.late_content, early.initial_history) == (False, True)
    vertex = accepts("gemini-3.8-live", vertexai=True)
    assert (vertex.instructions_by, vertex.handle_valid_s) == ("content", 24 * 3600 - 300)
