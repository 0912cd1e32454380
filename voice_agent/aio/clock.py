"""Where time and new ids come from. Passed in, so that tests can pass their own."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

import uuid_utils


class Clock(Protocol):
    """The three things that code may ask of time."""

    def now(self) -> datetime:
        """The instant, UTC-aware. May jump when somebody sets the machine's clock."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait. Cancellation leaves nothing behind."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The instant, UTC-aware."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Wait ``delay_s`` seconds."""
        await asyncio.sleep(delay_s)


def unix_ms(instant: datetime) -> int:
    """An instant as milliseconds since 1970: what a fence is claimed from."""
    return int(instant.timestamp() * 1000)


def new_id() -> str:
    """Make an id of 32 hex digits (UUIDv7): they sort by the time they were made."""
    return str(uuid_utils.uuid7().hex)
