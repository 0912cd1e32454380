"""One request to the speech server, asked again while the server restarts.

Nothing is lost when the server dies: the caller still holds the audio or the text, and the same
request is sent to the next server, for up to ``patience_s`` seconds. After that the request fails
and the framework decides (it retries, then tells the session).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock, SystemClock
from voice_agent.domain.errors import LayerUnavailable, RejectedError

from . import wire

_LAYER = "speech_server"
_RETRY = Backoff(base_s=0.05, cap_s=0.25)


class RequestNotSpoken(RejectedError):
    """The speech server refuses this very request: asking again is of no use."""


class SpeechClient:
    """Asks the server at ``socket_path``. Holds no connection: one is made for each request."""

    def __init__(
        self,
        socket_path: Path,
        *,
        patience_s: float = 8.0,
        answer_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self._socket_path = socket_path
        self._patience_s = patience_s
        self._answer_s = answer_s
        self._clock = clock or SystemClock()

    async def recognise(self, pcm: bytes, *, urgency: wire.Urgency = wire.Urgency.NOW) -> str:
        """Return the words in ``pcm`` (16 kHz, mono, 16 bit); empty when there are none.

        Raises:
            LayerUnavailable: no server within ``patience_s``, or it is too busy: may be repeated.
            RequestNotSpoken: the server refuses this request for good.

        Cancellation: a request that still waits at the server is dropped there.
        """
        request = wire.recognise(pcm, urgency=urgency)
        # Words for the screen are not worth waiting for: the next ones come in half a second.
        patience_s = self._patience_s if urgency is wire.Urgency.NOW else 0.0
        return (await self._text(request, op="recognise", patience_s=patience_s)).decode()

    async def synthesise(
        self, text: str, *, slack_s: float = 0.0
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield ``text`` as chunks of (sample rate, PCM), the first one as soon as it is spoken.

        Args:
            text: one sentence or several; may come out as no chunk at all (only punctuation).
            slack_s: how long the listener still has something to play; orders the server's queue.

        Raises:
            LayerUnavailable: as in ``recognise``; a chunk may have come before.
            RequestNotSpoken: as in ``recognise``.
        """
        request = wire.synthesise(text, slack_s=slack_s)
        answers = self._answers(request, op="synthesise", patience_s=self._patience_s)
        async with contextlib.aclosing(answers):
            async for kind, body in answers:
                if kind is wire.Kind.AUDIO:
                    yield wire.split_audio(body)

    async def status(self) -> dict[str, int]:
        """Return what the server says about itself. Raises LayerUnavailable at once if away."""
        request = wire.frame(wire.Kind.STATUS)
        status: dict[str, int] = json.loads(await self._text(request, op="status", patience_s=0.0))
        return status

    async def _text(self, request: bytes, *, op: str, patience_s: float) -> bytes:
        answers = self._answers(request, op=op, patience_s=patience_s)
        async with contextlib.aclosing(answers):
            async for kind, body in answers:
                if kind is wire.Kind.TEXT:
                    return body
        raise LayerUnavailable(layer=_LAYER, op=op, detail="answer without words")

    async def _answers(
        self, request: bytes, *, op: str, patience_s: float
    ) -> AsyncGenerator[wire.Frame, None]:
        """Yield the frames of the answer; ask again until the first of them has come."""
        deadline_s = self._clock.monotonic_s() + patience_s
        attempt = 0
        while True:
            answered = False
            try:
                async with contextlib.aclosing(self._ask_once(request)) as answers:
                    async for answer in answers:
                        answered = True
                        yield answer
                return
            except (OSError, TimeoutError, asyncio.IncompleteReadError, _Busy) as exc:
                if answered or self._clock.monotonic_s() >= deadline_s:
                    raise LayerUnavailable(
                        layer=_LAYER, op=op, detail=f"{type(exc).__name__} at {self._socket_path}"
                    ) from exc
            except wire.MalformedFrame as exc:
                raise RequestNotSpoken(f"the speech server speaks another protocol: {exc}") from exc
            await self._clock.sleep(_RETRY.delay_s(attempt))
            attempt += 1

    async def _ask_once(self, request: bytes) -> AsyncGenerator[wire.Frame, None]:
        async with asyncio.timeout(self._answer_s):
            reader, writer = await asyncio.open_unix_connection(os.fspath(self._socket_path))
        try:
            writer.write(wire.PREAMBLE + request)
            while True:
                async with asyncio.timeout(self._answer_s):
                    answer = await wire.read_frame(reader)
                if answer.kind is wire.Kind.END:
                    return
                if answer.kind is wire.Kind.REFUSED:
                    reason = answer.body.decode(errors="replace")
                    if reason == wire.BUSY:
                        raise _Busy
                    raise RequestNotSpoken(f"the speech server refused: {reason}")
                yield answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Busy(Exception):
    """The server's queue is full."""
