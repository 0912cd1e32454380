"""A TCP proxy that misbehaves on request: cut, slow, half-open, answers lost, refused.

Stands between a client and a real server on loopback. In-process, for tests: faults are set by
attribute, and each one counts how often it was met, so that a test can wait until it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self


class Fault(Enum):
    """What the proxy does to connections while it is set."""

    NONE = "none"
    REFUSE = "refuse"  # new connections are closed at once, running ones are cut
    SILENT = "silent"  # half-open: everything is accepted, nothing passes
    LOSE_ANSWERS = "lose_answers"  # requests arrive, their answers do not, then the cut
    SLOW = "slow"  # a byte at a time
    LATE = "late"  # everything passes, ``late_s`` later each way


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server behind the proxy."""

    host: str
    port: int


class FaultProxy:
    """``async with FaultProxy(target) as proxy``: ``proxy.port`` is where clients connect."""

    def __init__(self, target: Target) -> None:
        self.port = 0
        self.met = 0
        self.late_s = 0.3
        self._target = target
        self._fault = Fault.NONE
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        await self._server.wait_closed()

    async def set(self, fault: Fault) -> None:
        """Begin to misbehave (or stop to); ``met`` counts from 0 again."""
        self._fault = fault
        self.met = 0
        if fault is Fault.REFUSE:
            self._cut()
        await self._tell()

    async def met_at_least(self, count: int, *, within_s: float = 20.0) -> None:
        """Wait until the fault was met ``count`` times."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: self.met >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.REFUSE:
            await self._meet()
            writer.close()
            return
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            self._writers.discard(writer)
            writer.close()
            return
        self._writers.add(back)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await asyncio.gather(
                self._pass(reader, back, answers=False), self._pass(there, writer, answers=True)
            )
        for each in (writer, back):
            self._writers.discard(each)
            each.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(65_536):
            if self._fault is Fault.SILENT:
                await self._meet()
                continue
            if self._fault is Fault.LOSE_ANSWERS and answers:
                await self._meet()
                break
            if self._fault is Fault.SLOW:
                await self._meet()
                await self._trickle(data, writer)
                continue
            if self._fault is Fault.LATE:
                await self._meet()
                await asyncio.sleep(self.late_s)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for index in range(len(data)):
            if self._fault is not Fault.SLOW:
                writer.write(data[index:])
                break
            writer.write(data[index : index + 1])
            await asyncio.sleep(0.05)
        await writer.drain()

    async def _meet(self) -> None:
        self.met += 1
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
