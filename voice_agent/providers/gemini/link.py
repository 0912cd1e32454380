"""One connection: google-genai's session, with a look at everything that comes in.

It stands where the plugin expects an ``AsyncSession``. Handles are taken out before the plugin sees
them: it would keep them together with a context that is not what they stand for.
"""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from google.auth.exceptions import GoogleAuthError
from google.genai import types
from google.genai.errors import APIError
from google.genai.live import AsyncSession
from websockets.exceptions import InvalidStatus, WebSocketException

FOREIGN = (APIError, WebSocketException, OSError, TimeoutError, ValueError, GoogleAuthError)
"""What a connection can fail with: google-genai, websockets, the network, its messages, keys."""


class Unreadable(ValueError):
    """A message that the plugin, or we, cannot deal with: the connection is given up for it."""


def code_of(error: Exception) -> int | None:
    """The close code, or the HTTP status of the upgrade."""
    if isinstance(error, InvalidStatus):
        return int(error.response.status_code)
    received = getattr(error, "rcvd", None)
    code = getattr(received, "code", None) or getattr(error, "code", None)
    return code if isinstance(code, int) else None


def seconds_of(text: str | None) -> float:
    """Read a duration ("9.5s") as the API writes it; 0 for what cannot be read."""
    try:
        return float((text or "0").removesuffix("s"))
    except ValueError:
        return 0.0


class Listening(Protocol):
    """Who is told of each message, before and after the plugin has acted on it."""

    def before(self, message: types.LiveServerMessage) -> None:
        """Look at a message."""
        ...

    def after(
        self,
        message: types.LiveServerMessage,
        update: types.LiveServerSessionResumptionUpdate | None,
    ) -> None:
        """Look again, with the handle it brought."""
        ...

    def broken(self, error: Exception) -> None:
        """Nothing more will come."""
        ...


class Link:
    """A live connection."""

    def __init__(self, inner: AsyncSession, listening: Listening, *, resumed: bool) -> None:
        self._inner = inner
        self._listening = listening
        self.resumed = resumed
        self.connected_at = time.monotonic()
        self.heard_at = self.connected_at
        self.is_healthy = False
        """Whether anything came."""

    @property
    def lived_s(self) -> float:
        """How long it has been there, its setup not counted."""
        return time.monotonic() - self.connected_at

    def was_healthy(self, settled_s: float) -> bool:
        """Whether it was of any use: it delivered something, or was there for a while."""
        return self.is_healthy or self.lived_s >= settled_s

    async def receive(self) -> AsyncIterator[types.LiveServerMessage]:
        """Receive until the end of a turn, as google-genai does."""
        try:
            async for message in self._inner.receive():
                self.is_healthy = True
                self.heard_at = time.monotonic()
                update, message.session_resumption_update = message.session_resumption_update, None
                self._listening.before(message)
                yield message
                self._listening.after(message, update)
        except FOREIGN as exc:
            self._listening.broken(exc)
            raise

    async def send_turns(self, turns: Sequence[types.Content], *, asks: bool) -> None:
        """Tell the service; ``asks`` for a reply."""
        await self._inner.send_client_content(turns=list(turns), turn_complete=asks)

    async def send_tool_responses(self, responses: Sequence[types.FunctionResponse]) -> None:
        """Answer tool calls that this session holds open."""
        await self._inner.send_tool_response(function_responses=list(responses))

    async def send_text(self, text: str) -> None:
        """Say something in words, as if it was spoken."""
        await self._inner.send_realtime_input(text=text)

    async def send_input(self, event: types.LiveClientRealtimeInput) -> None:
        """Send sound, a picture or a mark of activity."""
        if event.audio is not None:
            await self._inner.send_realtime_input(audio=event.audio)
        elif event.video is not None:
            await self._inner.send_realtime_input(video=event.video)
        elif event.activity_start is not None:
            await self._inner.send_realtime_input(activity_start=event.activity_start)
        elif event.activity_end is not None:
            await self._inner.send_realtime_input(activity_end=event.activity_end)

    async def send_instructions(self, text: str) -> None:
        """Replace the system instruction of a live session (3.8)."""
        await self._inner.send_context_update(system_instruction=text)

    async def close(self) -> None:
        """Close the WebSocket."""
        await self._inner.close()
