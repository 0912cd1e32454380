"""How a scenario calls the system and what it waits for. Everything has a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devtools.system import System
from simulators.caller import Caller
from simulators.outside import OpenedCall, Outside, job_pid

WITHIN_S = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calling:
    """A running system and its API."""

    system: System
    outside: Outside

    @property
    def outbox(self) -> Path:
        """Where this system's jobs write."""
        return self.system.worker.outbox

    @contextlib.asynccontextmanager
    async def call(
        self, *, greeted: bool = True, **body: str
    ) -> AsyncIterator[tuple[OpenedCall, Caller]]:
        """Call and be greeted; hang up at the end of the block."""
        opened = await self.outside.open_call(**body)
        async with Caller.join(opened.url, opened.token) as caller:
            if greeted:
                await caller.hear(timeout_s=WITHIN_S)
            yield opened, caller

    async def pid(self, room: str) -> int:
        """The process that serves a room."""
        return await until(lambda: asyncio.to_thread(job_pid, self.outbox, room))

    async def said(self, conversation: str, count: int) -> list[dict[str, Any]]:
        """Wait until the backend has ``count`` messages of people; all messages, in order."""

        async def look() -> list[dict[str, Any]] | None:
            messages = await self.outside.messages(conversation)
            by_people = [m for m in messages if m["role"] == "user"]
            return messages if len(by_people) >= count else None

        return await until(look)

    async def event(self, conversation: str, kind: str) -> dict[str, Any]:
        """Wait for an event of a kind; the newest one."""

        async def look() -> dict[str, Any] | None:
            events = await self.outside.events(conversation, kind)
            return events[-1] if events else None

        return await until(look)

    async def joined(self, room: str, *, after_attempts: int = 0) -> None:
        """Wait until an agent (a later one than ``after_attempts``) is in the room."""

        async def look() -> bool:
            state = await self.outside.call_state(room)
            return bool(state["agent"] == "joined" and state["attempts"] > after_attempts)

        await until(look)


async def until(look: Callable[[], Awaitable[T | None]], within_s: float = WITHIN_S) -> T:
    """Ask until the answer is truthy."""
    async with asyncio.timeout(within_s):
        while not (seen := await look()):
            await asyncio.sleep(0.1)
    return seen


def texts(messages: list[dict[str, Any]], role: str = "user") -> list[str]:
    """What was said, in lower case without punctuation."""
    return [plain(m["text"]) for m in messages if m["role"] == role]


def plain(text: str) -> str:
    """Words alone: recognisers differ in punctuation."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
