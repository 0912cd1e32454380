"""The newest handle of a session, kept for another process. Losing it costs a fresh session."""

import asyncio
import contextlib
from collections.abc import Callable

from livekit.agents.utils import aio

from voice_agent.providers.gemini.options import Handles


class HandleKeeper:
    """Takes what the last process left, and keeps the newest in its place, in the background.

    A handle that comes while one is being written takes the place of those that wait.
    """

    def __init__(
        self, handles: Handles | None, *, timeout_s: float, valid_s: float,
        payload: Callable[[], bytes],
    ) -> None:  # fmt: skip
        self._handles = handles
        self._timeout_s = timeout_s
        self._valid_s = valid_s
        self._payload = payload
        self._is_stale = False
        self._writing: asyncio.Task[None] | None = None

    async def take(self) -> bytes | None:
        """Return what was left, once; None when it cannot be had in time."""
        if self._handles is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._handles.take()
        except TimeoutError:
            return None

    def keep(self) -> None:
        """Write the newest down."""
        if self._handles is None:
            return
        self._is_stale = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(self._handles), name="gemini-handles")

    async def aclose(self) -> None:
        """Wait for what is being written, and not for long."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=self._timeout_s)
            await aio.cancel_and_wait(self._writing)

    async def _write(self, handles: Handles) -> None:
        while self._is_stale:
            self._is_stale = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await handles.save(self._payload(), self._valid_s)
