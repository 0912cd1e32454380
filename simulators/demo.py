"""The scripted proof: a caller speaks, the agent answers, its process is killed, it goes on.

    python -m simulators.demo --env FILE

Prints the transcript as it grows, the delay of each turn by stage, and what each layer holds. Ends
by itself; non-zero when a promise was not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
from livekit import api

from simulators.caller import Caller, Turn
from simulators.outside import OpenedCall, Outside, kill_job, outbox_headers

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "speech"
STAGES = ("transcription_s", "end_of_turn_s", "llm_ttft_s", "tts_ttfb_s", "e2e_s")
WAIT_S = 30.0
SETTLE_S = 10.0
ALIKE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sentence to speak, and the word that its answer must hold."""

    wav: str
    expect: str


FIRST = (
    Line(wav="name.wav", expect="ada"),
    Line(wav="time_tokyo.wav", expect="tokyo"),
)
AFTER_THE_KILL = (Line(wav="my_name.wav", expect="ada"),)


class Broken(Exception):
    """A promise was not kept."""


def read_env(path: Path) -> dict[str, str]:
    """Read ``export NAME=value`` lines."""
    pairs: dict[str, str] = {}
    for line in path.read_text().splitlines():
        words = shlex.split(line)
        if len(words) == 2 and words[0] == "export" and "=" in words[1]:
            name, value = words[1].split("=", 1)
            pairs[name] = value
    return pairs


@contextlib.asynccontextmanager
async def _printed(caller: Caller) -> AsyncIterator[None]:
    """Print each final line of the transcript when it comes."""
    shown: set[str] = set()

    async def follow() -> None:
        while True:
            for line in caller.transcripts:
                if line.final and line.segment_id not in shown and line.text.strip():
                    shown.add(line.segment_id)
                    print(f"    {'caller' if line.mine else 'agent ':<7} {line.text.strip()}")
            await asyncio.sleep(0.1)

    task = asyncio.get_running_loop().create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _speak(caller: Caller, lines: tuple[Line, ...]) -> list[Turn]:
    turns: list[Turn] = []
    for line in lines:
        turn = await caller.turn(FIXTURES / line.wav, timeout_s=WAIT_S)
        turns.append(turn)
        print(f"    heard   {turn.heard!r}, {turn.latency_s:.2f} s after the last word")
        _check_answer(caller, line, turn)
    return turns


def _check_answer(caller: Caller, line: Line, turn: Turn) -> None:
    """The answer has the expected word, and what was heard is what was written.

    Compared loosely: the recogniser that listens here has a word wrong now and then.
    """
    written = next(t.text for t in reversed(caller.transcripts) if t.final and not t.mine)
    if line.expect not in written.lower():
        raise Broken(f"{line.wav}: the answer {written!r} does not have {line.expect!r}")
    words = set(re.findall(r"[a-z]+", written.lower()))  # numbers are heard as words
    heard = words & set(re.findall(r"[a-z]+", turn.heard.lower()))
    if len(heard) < ALIKE * len(words):
        raise Broken(f"{line.wav}: {turn.heard!r} was heard, {written!r} was written")


async def _kill_and_bring_back(outside: Outside, call: OpenedCall, outbox: Path) -> None:
    loop = asyncio.get_running_loop()
    attempts = (await outside.call_state(call.room))["attempts"]
    pid = kill_job(outbox, call.room)
    killed = loop.time()
    print(f"\n  kill -9 of the agent's process {pid}; asking for another one")
    await outside.send_agent(call.room)
    await _until_joined(outside, call, after_attempts=attempts)
    print(f"    a new agent is there {loop.time() - killed:.1f} s later")


async def _until_joined(outside: Outside, call: OpenedCall, *, after_attempts: int) -> None:
    said = ""
    async with asyncio.timeout(WAIT_S):
        while True:
            state = await outside.call_state(call.room)
            if state["agent"] == "joined" and state["attempts"] > after_attempts:
                return
            if state["detail"] != said:
                said = state["detail"]
                print(f"    {said}")
            await asyncio.sleep(0.1)


async def _converse(outside: Outside, env: dict[str, str], outbox: Path) -> OpenedCall:
    call = await outside.open_call(name="Ada")
    print(f"  room {call.room}, conversation {call.conversation_id}")
    async with Caller.join(call.url, call.token) as caller, _printed(caller):
        greeting = await caller.hear(timeout_s=WAIT_S)
        print(f"    heard   {greeting.words!r}")
        await _speak(caller, FIRST)
        await _kill_and_bring_back(outside, call, outbox)
        await _speak(caller, AFTER_THE_KILL)
        await _show_layers(outside, call, env, outbox, title="while the call is on")
    return call


async def _show_layers(
    outside: Outside, call: OpenedCall, env: dict[str, str], outbox: Path, *, title: str
) -> None:
    print(f"\n  What each layer holds, {title}:")
    print(f"    room      {await _room_metadata(env, call.room)}")
    print(f"    outbox    {len(outbox_headers(outbox))} file(s) not settled")
    print(f"    redis     {await _redis_keys(env)} key(s)")
    conversation = await outside.conversation(call.conversation_id)
    messages = await outside.messages(call.conversation_id)
    print(
        f"    backend   {conversation['last_position']} events, {len(messages)} messages,"
        f" version {conversation['version']}, session {conversation['session_number']},"
        f" missing {conversation['missing']}"
    )


async def _room_metadata(env: dict[str, str], room: str) -> str:
    async with api.LiveKitAPI(
        env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]
    ) as livekit:
        rooms = (await livekit.room.list_rooms(api.ListRoomsRequest(names=[room]))).rooms
    return rooms[0].metadata if rooms else "closed"


async def _redis_keys(env: dict[str, str]) -> str:
    if "REDIS_URL" not in env:
        return "no"
    client = redis.asyncio.from_url(env["REDIS_URL"])
    try:
        return str(await client.dbsize())
    finally:
        await client.aclose()


async def _settled(outside: Outside, call: OpenedCall) -> list[dict[str, Any]]:
    """Wait until the backend has everything that was said; return the messages."""
    expected = len(FIRST) + len(AFTER_THE_KILL)
    async with asyncio.timeout(SETTLE_S):
        while True:
            messages = await outside.messages(call.conversation_id)
            said = [m for m in messages if m["role"] == "user"]
            if len(said) >= expected:
                return messages
            await asyncio.sleep(0.2)


def _check(messages: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    said = [re.sub(r"[^a-z ]", "", m["text"].lower()) for m in messages if m["role"] == "user"]
    wanted = ["my name is ada lovelace", "what time is it in tokyo", "what is my name"]
    if said != wanted:
        raise Broken(f"the backend holds {said}, the caller said {wanted}")
    if sum(event["kind"] == "tool_call" for event in events) != 1:
        raise Broken("the agent did not call its tool exactly once")
    greetings = [m for m in messages if m["role"] == "assistant"]
    if len(greetings) != len(wanted) + 1:
        raise Broken(f"{len(greetings)} agent messages for {len(wanted)} sentences and a greeting")


def _show_turns(events: list[dict[str, Any]]) -> None:
    print("\n  Delay of each turn by stage (ms; livekit-agents' own clock):")
    print("    " + "".join(f"{stage.removesuffix('_s'):>15}" for stage in STAGES))
    for event in events:
        if event["kind"] == "turn_ended" and "e2e_s" in event.get("delays", {}):
            delays = event["delays"]
            print("    " + "".join(f"{delays.get(stage, 0) * 1000:>15.0f}" for stage in STAGES))


async def _run(env: dict[str, str]) -> None:
    outbox = Path(env["VOICE_OUTBOX__FOLDER"])
    async with Outside(url=env["BACKEND_URL"], token=env["BACKEND_TOKEN"]) as outside:
        call = await _converse(outside, env, outbox)
        messages = await _settled(outside, call)
        events = await outside.events(call.conversation_id)
        _show_turns(events)
        await _show_layers(outside, call, env, outbox, title="after the caller has hung up")
        _check(messages, events)


def main() -> int:
    """Run the demo; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(description="A scripted call, with a kill in its middle.")
    parser.add_argument("--env", type=Path, required=True, help="file with export NAME=value lines")
    args = parser.parse_args()
    try:
        asyncio.run(_run(read_env(args.env)))
    except (Broken, TimeoutError, OSError, LookupError) as exc:
        print(f"\ndemo: FAILED: {exc or 'something did not happen in time'}")
        return 1
    print("\ndemo: every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
