"""The same scenarios with the plain plugin and with ours: the table of docs/gemini.md.

    python -m tests.gemini.compare [--quick]

A scenario is kept when, 5 s after it, the service's conversation is the application's and what was
said last has its answer. ``--quick`` cuts at every fifth message only.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

from livekit.agents import llm
from livekit.plugins.google.realtime import RealtimeModel as PlainModel

from simulators.gemini.behaviour import Behaviour, Drop, Refusal
from simulators.gemini.server import GeminiServer
from tests.gemini.talking import QUICK, Talk, look_up, serving, told
from voice_agent.providers.gemini import Options, RealtimeModel, prepare

MODEL = "gemini-2.5-flash-native-audio-preview-12-2025"
BOUNDARIES = 51
WITHIN_S = 5.0
USE = 'use look_up {"word":"fee"}'

Scenario = Callable[[GeminiServer, Talk], Awaitable[None]]


@contextlib.asynccontextmanager
async def calling(server: GeminiServer, *, plain: bool) -> AsyncIterator[Talk]:
    """Begin a call with the plain plugin, or with ours."""
    http = server.http_options
    model = (
        PlainModel(model=MODEL, api_key="none", http_options=http)
        if plain
        else RealtimeModel(
            model=MODEL, api_key="none", http_options=http, options=Options(limits=QUICK)
        )
    )
    session = model.session()
    talk = Talk(session)  # type: ignore[arg-type] # the plain one cannot save, and is not asked to
    await session.update_instructions("Be brief.")
    await session.update_tools([look_up])
    try:
        yield talk
    finally:
        await talk.aclose()


async def kept(server: GeminiServer, talk: Talk, words: str) -> bool:
    """Whether both sides remember these words and their answer, within the deadline."""
    until = asyncio.get_running_loop().time() + WITHIN_S
    while asyncio.get_running_loop().time() < until:
        lines = told(talk.session)
        if (
            lines
            and lines.count(("user", words)) == 1
            and lines[-1][0] == "model"
            and server.is_connected
            and server.now.is_idle
            and server.conversation.said == lines
        ):
            return True
        await asyncio.sleep(0.02)
    return False


async def say(server: GeminiServer, talk: Talk, words: str) -> None:
    """Speak, and let it be answered if it will be."""
    talk.say(words)
    await kept(server, talk, words)


async def undisturbed(server: GeminiServer, talk: Talk) -> None:
    talk.say("again")


async def cut_between_turns(server: GeminiServer, talk: Talk) -> None:
    server.now.cut()
    await asyncio.sleep(1.0)
    talk.say("again")


async def typed_while_away(server: GeminiServer, talk: Talk) -> None:
    server.now.cut()
    await talk.type("again")


async def typed_after_a_second_drop(server: GeminiServer, talk: Talk) -> None:
    server.now.cut()
    await asyncio.sleep(0.3)
    server.behaviour.setup_s = 0.3
    server.now.cut()
    await talk.type("again")


async def spoken_while_away(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.setup_s = 0.5
    server.now.cut()
    talk.say("again")


async def tool_finishes_while_away(server: GeminiServer, talk: Talk) -> None:
    talk.tools_at_once = False
    talk.say(USE)
    while not talk.calls:
        await asyncio.sleep(0.01)
    server.now.cut()
    await talk.give(talk.calls[-1])
    await asyncio.sleep(1.0)
    talk.say("again")


async def unreachable_for_a_moment(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.unreachable = 3
    server.now.cut()
    talk.say("again")


async def refused(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.refusals = [Refusal(code=1008)]
    server.now.cut()
    talk.say("again")


async def expired(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.expired = True
    await server.now.close(1011, "Deadline expired")
    talk.say("again")


async def full_context(server: GeminiServer, talk: Talk) -> None:
    await server.now.close(1007, "Request contains an invalid argument.")
    talk.say("again")


async def silent_setup(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.silent_setups = 1
    server.now.cut()
    talk.say("again")


async def go_away_amid_a_reply(server: GeminiServer, talk: Talk) -> None:
    server.behaviour.piece_s = 0.1
    talk.say("a long word after another")
    await asyncio.sleep(0.3)
    await server.now.go_away(5.0)
    await asyncio.sleep(1.5)
    talk.say("again")


async def forgot(server: GeminiServer, talk: Talk) -> None:
    for n in range(10):
        await talk.type(f"note {n} with some words", ask=False)
    await say(server, talk, "all noted")
    server.behaviour.forgets = 1
    server.now.cut()
    await say(server, talk, "in between")
    talk.say("again")


async def edited(server: GeminiServer, talk: Talk) -> None:
    await change(server, talk, edit=True)


async def removed(server: GeminiServer, talk: Talk) -> None:
    await change(server, talk, edit=False)


async def change(server: GeminiServer, talk: Talk, *, edit: bool) -> None:
    await talk.type("wrong", ask=False)
    await say(server, talk, "right")
    context = talk.session.chat_ctx.copy()
    at = next(n for n, one in enumerate(context.items)
              if isinstance(one, llm.ChatMessage) and one.text_content == "wrong")  # fmt: skip
    if edit:
        context.items[at] = llm.ChatMessage(
            id=context.items[at].id, role="user", content=["corrected"]
        )
    else:
        del context.items[at]
    await talk.session.update_chat_ctx(context)
    await asyncio.sleep(0.5)
    talk.say("again")


SCENARIOS: dict[str, Scenario] = {
    "nothing goes wrong": undisturbed,
    "cut between turns": cut_between_turns,
    "typed while away": typed_while_away,
    "the same after a second drop": typed_after_a_second_drop,
    "spoken while away": spoken_while_away,
    "a tool finishes while away": tool_finishes_while_away,
    "three refused TCP connections": unreachable_for_a_moment,
    "handle refused (1008)": refused,
    "handle expired (1011, then 1007)": expired,
    "1007 on a healthy session": full_context,
    "a setup that is never answered": silent_setup,
    "goAway amid a reply": go_away_amid_a_reply,
    "a resume that forgot everything": forgot,
    "an item edited": edited,
    "an item removed": removed,
}


async def one(scenario: Scenario, *, plain: bool) -> bool:
    """Play a scenario after a first turn."""
    async with serving() as server, calling(server, plain=plain) as talk:
        await say(server, talk, "hello there")
        with contextlib.suppress(TimeoutError, llm.RealtimeError):
            async with asyncio.timeout(8.0):
                await scenario(server, talk)
        return await kept(server, talk, "again")


async def cut_at(at: int, *, lost: bool, plain: bool) -> bool:
    """Play the recorded call and cut it at a message."""
    async with (
        serving(Behaviour(drops=[Drop(at=at, lost=lost)])) as server,
        calling(server, plain=plain) as talk,
    ):
        await say(server, talk, "hello there")
        await talk.type("typed")
        await kept(server, talk, "typed")
        await say(server, talk, USE)
        talk.say("the end")
        if not await kept(server, talk, "the end"):
            return False
        users = [text for role, text in told(talk.session) if role == "user"]
        return users == ["hello there", "typed", USE, "the end"]


async def compare(step: int) -> None:
    """Print the table."""
    print("| scenario | plain 1.8.9 | ours |\n|---|---|---|")
    for name, scenario in SCENARIOS.items():
        verdicts = [await one(scenario, plain=plain) for plain in (True, False)]
        print(
            f"| {name} | {' | '.join('kept' if v else '**lost**' for v in verdicts)} |", flush=True
        )
    cuts = [(at, lost) for at in range(1, BOUNDARIES + 1, step) for lost in (True, False)]
    counts: list[int] = []
    for plain in (True, False):
        counts.append(sum([await cut_at(at, lost=lost, plain=plain) for at, lost in cuts]))
    print(f"| cut at each message, kept of {len(cuts)} | {counts[0]} | {counts[1]} |")


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    prepare()
    asyncio.run(compare(5 if args.quick else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
