"""What happens when the service refuses, is silent or forgets: it ends, and ends well, in time."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from livekit.agents import llm
from livekit.plugins.google.realtime import realtime_api

from simulators.gemini.behaviour import Behaviour, Refusal
from tests.gemini.talking import QUICK, Talk, both_remember, serving, stays, talking, told
from tests.support.waiting import wait_for
from voice_agent.providers.gemini import Limits

HELLO = (("user", "hello there"), ("model", "You said hello there"))
AGAIN = (("user", "again"), ("model", "You said again"))
SHORT = Limits(
    backoff_s=0.01,
    backoff_cap_s=0.05,
    quiet_s=0.05,
    set_up_s=0.3,
    give_up_s=1.5,
    silent_resume_s=0.5,
)


def kinds(talk: Talk) -> list[str]:
    return [one.kind for one in talk.outcomes]


def fatal(talk: Talk) -> list[llm.RealtimeModelError]:
    return [one for one in talk.errors if not one.recoverable]


@pytest.mark.parametrize("at", ["before_setup", "after_setup"])
@pytest.mark.parametrize(("code", "times"), [(1007, 1), (1008, 1), (1011, 2)])
async def test_a_refused_handle_is_given_up_and_the_history_told_anew(
    code: int, times: int, at: str
) -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.refusals = [Refusal(code=code, at=at, times=times)]  # type: ignore[arg-type]
        server.now.cut()
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert kinds(talk) == ["reseeded"]
        handles = [(one.get("sessionResumption") or {}).get("handle") for one in server.set_ups]
        assert handles == [None, *["handle-1"] * times, None]


async def test_a_handle_that_expired_is_not_tried_for_ever() -> None:
    """S2.10: refused with 1007 after a 1011 close at 58:00."""
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.expired = True
        await server.now.close(1011, "Deadline expired before operation could complete.")
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert kinds(talk) == ["reseeded"]
        assert len(server.set_ups) == 3


async def test_a_history_that_is_refused_is_told_short_with_a_summary() -> None:
    async def summarise(lines: object) -> str:
        return f"{len(list(lines))} lines"  # type: ignore[call-overload]

    limits = Limits(backoff_s=0.01, backoff_cap_s=0.05, quiet_s=0.05, short_seed_most_chars=120)
    async with serving() as server, talking(server, limits=limits, summarise=summarise) as talk:
        for n in range(20):
            await talk.type(f"line {n} with some words in it", ask=False)
        await both_remember(server, talk)
        server.behaviour.most_tokens = 100
        await server.now.close(1007, "Request contains an invalid argument.")
        await wait_for(lambda: kinds(talk) == ["reseeded"])
        assert talk.outcomes[0].summarised
        first, *rest = server.conversation.said
        assert first == ("user", "<instructions>\nWhat was said before: 16 lines\n</instructions>")
        assert rest == told(talk.session)[-4:]
        talk.say("again")
        await wait_for(lambda: told(talk.session)[-2:] == list(AGAIN))


async def test_a_full_context_is_resumed_once_and_then_told_anew() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        for wanted in (["resumed"], ["resumed", "reseeded"]):
            await server.now.close(1007, "Request contains an invalid argument.")
            await wait_for(lambda wanted=wanted: kinds(talk) == wanted)  # type: ignore[misc]
            talk.say("again")
            await wait_for(lambda: told(talk.session)[-2:] == list(AGAIN))
        assert not fatal(talk)


async def test_refusals_without_end_are_an_honest_error_and_not_a_loop() -> None:
    failures: list[Exception] = []
    async with serving() as server, talking(server, on_failed=failures.append) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.refusals = [Refusal(code=1007, times=99, with_handle_only=False)]
        server.now.cut()
        await wait_for(lambda: kinds(talk) == ["failed"])
        assert len(server.set_ups) == 4  # resumed, fresh, short
        assert len(failures) == len(fatal(talk)) == 1
        with pytest.raises(llm.RealtimeError):
            await talk.session.generate_reply()


async def test_a_failover_that_takes_over_keeps_the_call_from_ending() -> None:
    async with serving() as server, talking(server, on_failed=lambda _: True) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.refusals = [Refusal(code=1008, times=99, with_handle_only=False)]
        server.now.cut()
        await wait_for(lambda: kinds(talk) == ["failed"])
        assert not fatal(talk)


async def test_a_network_that_stays_away_ends_within_the_budget() -> None:
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.unreachable = 10_000
        began = time.monotonic()
        server.now.cut()
        await wait_for(lambda: fatal(talk), within_s=SHORT.give_up_s + 1)
        assert time.monotonic() - began < SHORT.give_up_s + 0.5


async def test_a_network_that_comes_back_is_used_with_the_same_handle() -> None:
    async with serving() as server, talking(server) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.unreachable = 6
        server.now.cut()
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert kinds(talk) == ["resumed"]


async def test_a_silent_setup_is_not_waited_for() -> None:
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.silent_setups = 2
        server.now.cut()
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert kinds(talk) == ["reseeded"]


async def test_a_resume_that_forgot_everything_is_noticed_and_told_anew() -> None:
    async with serving() as server, talking(server) as talk:
        for n in range(12):
            await talk.type(f"line {n} with some words in it", ask=False)
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.forgets = 1
        server.now.cut()
        talk.say("again")
        await wait_for(lambda: kinds(talk) == ["resumed", "reseeded"])
        assert talk.outcomes[1].cause == "forgot"
        await both_remember(server, talk, *HELLO, *AGAIN)


async def test_a_resumed_session_that_hears_and_never_answers_is_told_anew() -> None:
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.mute_after_resume = 1
        server.now.cut()
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert talk.outcomes[-1].cause == "mute"


async def test_a_first_connection_that_is_refused_access_fails_at_once() -> None:
    behaviour = Behaviour(refusals=[Refusal(code=1008, times=99, with_handle_only=False)])
    async with serving(behaviour) as server, talking(server) as talk:
        await wait_for(lambda: fatal(talk))
        assert len(server.set_ups) <= 2


async def test_a_reply_that_was_asked_for_before_the_loss_comes_after_it() -> None:
    async with serving() as server, talking(server, limits=QUICK) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.setup_s = 0.2
        server.now.cut()
        asked = talk.session.generate_reply(instructions="Say hello.")
        assert (await asked).user_initiated
        await both_remember(server, talk)


async def test_a_call_in_which_nobody_said_anything_is_resumed_after_its_budget_too() -> None:
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.now.cut()
        await wait_for(lambda: kinds(talk) == ["resumed"])
        await stays(lambda: len(server.connections) == 2, for_s=SHORT.give_up_s + 0.2)
        server.now.cut()
        talk.say("again")
        await both_remember(server, talk, *HELLO, *AGAIN)
        assert kinds(talk) == ["resumed", "resumed"]


async def test_a_service_that_says_a_word_and_closes_each_time_is_given_up_in_time() -> None:
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.closes_after_setup = 1011
        began = time.monotonic()
        server.now.cut()
        await wait_for(lambda: fatal(talk), within_s=SHORT.give_up_s + 1)
        assert time.monotonic() - began < SHORT.give_up_s + 0.5
        assert kinds(talk)[-1] == "failed"


async def test_a_message_that_the_plugin_cannot_deal_with_costs_a_connection_and_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = realtime_api.RealtimeSession._handle_server_content
    broken = [True]

    def breaks_once(self: Any, content: Any) -> None:
        if content.generation_complete and broken:
            broken.clear()
            raise AttributeError("of a message of tomorrow")
        whole(self, content)

    async with serving() as server, talking(server) as talk:
        monkeypatch.setattr(realtime_api.RealtimeSession, "_handle_server_content", breaks_once)
        talk.say("hello there")
        await wait_for(lambda: not broken)
        talk.say("again")
        await wait_for(lambda: told(talk.session)[-2:] == list(AGAIN))
        await both_remember(server, talk)


async def test_a_summary_that_fails_ends_with_an_error_and_not_in_silence() -> None:
    async def fails(_: object) -> str:
        raise LookupError("of the application")

    limits = replace(QUICK, seed_most_chars=120)
    async with serving() as server, talking(server, limits=limits, summarise=fails) as talk:
        for n in range(20):
            await talk.type(f"line {n} with some words in it", ask=False)
        await wait_for(lambda: fatal(talk))
        assert kinds(talk) == ["failed"]


async def test_a_summary_that_does_not_come_is_not_waited_for() -> None:
    async def never(_: object) -> str:
        await asyncio.Event().wait()
        return ""

    limits = replace(QUICK, short_seed_most_chars=120, summarise_s=0.1)
    async with serving() as server, talking(server, limits=limits, summarise=never) as talk:
        for n in range(20):
            await talk.type(f"line {n} with some words in it", ask=False)
        await both_remember(server, talk)
        server.behaviour.most_tokens = 100
        await server.now.close(1007, "Request contains an invalid argument.")
        await wait_for(lambda: kinds(talk) == ["reseeded"])
        assert server.conversation.said == told(talk.session)[-4:]


async def test_a_service_that_says_go_away_at_once_each_time_is_given_up_in_time() -> None:
    """S2.10: leaving on purpose is no way round the budget."""
    async with serving() as server, talking(server, limits=SHORT) as talk:
        talk.say("hello there")
        await both_remember(server, talk, *HELLO)
        server.behaviour.goes_away_at_once = True
        began, before = time.monotonic(), len(server.set_ups)
        server.now.cut()
        await wait_for(lambda: fatal(talk), within_s=SHORT.give_up_s + 2)
        assert time.monotonic() - began <= SHORT.give_up_s + 1
        assert len(server.set_ups) - before < 60
