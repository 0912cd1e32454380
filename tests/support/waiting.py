"""Waiting for something to hold, with a deadline: never a bare sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

POLL_S = 0.02


async def wait_for(
    condition: Callable[[], Found | Awaitable[Found]], *, within_s: float = 5.0, what: str = ""
) -> Found:
    """Wait until ``condition()`` is true and return what it returned.

    Raises:
        AssertionError: it was never true within ``within_s``; the text has its last value.
    """
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        found: Found = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_missed(condition, within_s, what, found))
        await asyncio.sleep(POLL_S)


def wait_until(condition: Callable[[], Found], *, within_s: float = 5.0, what: str = "") -> Found:
    """Do the same in a test without an event loop."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_missed(condition, within_s, what, found))
        time.sleep(POLL_S)
    return found


async def read_until(
    stream: asyncio.StreamReader, wanted: str, *, within_s: float = 10.0
) -> list[str]:
    """Read lines until one contains ``wanted``; return all of them, that one last.

    Raises:
        AssertionError: the stream ended, or the deadline came, before such a line.
    """
    lines: list[str] = []
    try:
        async with asyncio.timeout(within_s):
            while line := (await stream.readline()).decode():
                lines.append(line.rstrip("\n"))
                if wanted in line:
                    return lines
    except TimeoutError:
        pass
    raise AssertionError(f"no line with {wanted!r} within {within_s} s in {lines!r}")


def _missed(condition: object, within_s: float, what: str, last: object) -> str:
    name = what or getattr(condition, "__name__", repr(condition))
    return f"not within {within_s} s: {name} (last: {last!r})"
