"""Kills in real rooms, two at a time, judged by what the callers saw and not by our own books."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from simulators.caller import Caller
from simulators.outside import OpenedCall, kill_job
from tests.scenarios.calling import Calling, plain

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

SEED = 4711
LINES = 5
ECHO_WITHIN_S = 15.0


@dataclass(slots=True)
class Book:
    """What one caller typed, and which of it came back to them. The checker knows nothing else."""

    typed: list[str] = field(default_factory=list)
    echoed: list[str] = field(default_factory=list)


async def converse(calling: Calling, caller: Caller, call: OpenedCall, kills: set[int]) -> Book:
    """Type lines with unique tokens; a line that is not echoed is typed again as a new one."""
    book = Book()
    dice = random.Random(f"{SEED}{call.room}")
    for number in range(LINES):
        attempt = 0
        while True:
            line = f"token {call.identity[-4:]} {number} try {attempt}"
            book.typed.append(line)
            await caller.type(line)
            if number in kills:
                kills.discard(number)
                await asyncio.sleep(dice.uniform(0.0, 0.6))  # any moment of the turn
                await asyncio.to_thread(kill_job, calling.outbox, call.room)
                await calling.outside.send_agent(call.room)
            if await came_back(caller, line):
                book.echoed.append(line)
                break
            attempt += 1
    return book


async def came_back(caller: Caller, line: str) -> bool:
    try:
        await caller.transcript(line, mine=False, timeout_s=ECHO_WITHIN_S)
    except TimeoutError:
        return False
    return True


async def test_what_was_echoed_is_stored_once_and_in_order_through_three_kills(
    calling: Calling,
) -> None:
    async with calling.call() as (first, ada), calling.call() as (second, grace):
        books = await asyncio.gather(
            converse(calling, ada, first, {1, 3}), converse(calling, grace, second, {2})
        )
    for call, book in zip((first, second), books, strict=True):
        assert len(book.echoed) == LINES
        await calling.said(call.conversation_id, LINES)
        messages = await calling.outside.messages(call.conversation_id)
        stored = [plain(m["text"]) for m in messages if m["role"] == "user"]
        typed = [plain(line) for line in book.typed]
        echoed = [plain(line) for line in book.echoed]
        assert len(stored) == len(set(stored)), "something is there twice"
        assert set(stored) <= set(typed)
        assert [line for line in stored if line in set(echoed)] == echoed
        found = await calling.outside.conversation(call.conversation_id)
        assert found["missing"] == []
