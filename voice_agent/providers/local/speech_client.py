"""One request to the speech server, asked again while the server restarts.

Nothing is lost when the server dies: the caller still holds the audio or the text, and the same
request is sent to the next server, for up to ``patience_s`` seconds. After that the request fails
and the framework decides (it retries, then tells the session).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock, SystemClock
from voice_agent.domain.errors import LayerUnavailable, RejectedError

from . import wire

_LAYER = "speech_server"
_RETRY = Backoff(base_s=0.05, cap_s=0.25)


class RequestNotSpoken(RejectedError):
    """The speech server refuses this very request: asking again is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Audio: mono, signed 16 bit, ``rate`` samples a second."""

    rate: int
    pcm: bytes

    @property
    def duration_s(self) -> float:
        """How long it plays."""
        return len(self.pcm) / 2 / self.rate


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
        return _text(await self._ask(request, op="recognise", patience_s=patience_s)).decode()

    async def speak(self, text: str, *, slack_s: float = 0.0) -> Spoken | None:
        """Return ``text`` as audio; None when there is nothing to say in it (only punctuation).

        All or nothing, so that a server that dies in the middle is asked again for the whole:
        pass a sentence at a time.

        Args:
            text: a piece, as ``sentences.pieces`` cuts them.
            slack_s: how long the listener still has something to play; orders the server's queue.

        Raises:
            LayerUnavailable, RequestNotSpoken: as in ``recognise``.

        Cancellation: the server stops after the sentence it is working on.
        """
        request = wire.synthesise(text, slack_s=slack_s)
        answers = await self._ask(request, op="speak", patience_s=self._patience_s)
        chunks = [wire.split_audio(body) for kind, body in answers if kind is wire.Kind.AUDIO]
        if not chunks:
            return None
        return Spoken(rate=chunks[0][0], pcm=b"".join(pcm for _, pcm in chunks))

    async def status(self) -> dict[str, int]:
        """Return what the server says about itself. Raises LayerUnavailable at once if away."""
        request = wire.frame(wire.Kind.STATUS)
        status: dict[str, int] = json.loads(
            _text(await self._ask(request, op="status", patience_s=0.0))
        )
        return status

    async def _ask(self, request: bytes, *, op: str, patience_s: float) -> list[wire.Frame]:
        """Return the whole answer; ask again until there is one, for ``patience_s`` seconds."""
        deadline_s = self._clock.monotonic_s() + patience_s
        for attempt in itertools.count():
            try:
                return await self._ask_once(request)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, _Busy) as exc:
                if self._clock.monotonic_s() >= deadline_s:
                    raise LayerUnavailable(
                        layer=_LAYER, op=op, detail=f"{type(exc).__name__} at {self._socket_path}"
                    ) from exc
            except wire.MalformedFrame as exc:
                raise RequestNotSpoken(f"the speech server speaks another protocol: {exc}") from exc
            await self._clock.sleep(_RETRY.delay_s(attempt))
        raise AssertionError("counting never ends")

    async def _ask_once(self, request: bytes) -> list[wire.Frame]:
        async with asyncio.timeout(self._answer_s):
            reader, writer = await asyncio.open_unix_connection(os.fspath(self._socket_path))
        answers: list[wire.Frame] = []
        try:
            writer.write(wire.PREAMBLE + request)
            while True:
                async with asyncio.timeout(self._answer_s):  # for each frame: a text may be long
                    answer = await wire.read_frame(reader)
                if answer.kind is wire.Kind.END:
                    return answers
                if answer.kind is wire.Kind.REFUSED:
                    raise _refusal(answer.body.decode(errors="replace"))
                answers.append(answer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Busy(Exception):
    """The server's queue is full."""


def _refusal(reason: str) -> Exception:
    return _Busy() if reason == wire.BUSY else RequestNotSpoken(f"refused: {reason}")


def _text(answers: list[wire.Frame]) -> bytes:
    for kind, body in answers:
        if kind is wire.Kind.TEXT:
            return body
    raise RequestNotSpoken("the speech server answered without words")
