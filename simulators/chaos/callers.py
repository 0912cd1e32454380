"""Callers: each has one conversation, speaks to a real job process and dials again when it dies."""

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from simulators.chaos.plan import Victim
from simulators.checker import Book, Fault, Said

READY_S = 25.0
"""A process that loads while everything is away: two deadlines, and the lease of a dead holder."""
ANSWER_S = 15.0
APART_S = 0.15
"""Callers do not all dial at once: two cores would take the start for an outage."""
LEAVE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCommand:
    """How job processes are started."""

    environ: Mapping[str, str]
    folder: Path
    log: IO[bytes]
    more: tuple[str, ...] = ()

    async def start(self, book: Book) -> asyncio.subprocess.Process:
        """Start the process of one call."""
        known = book.conversation_id
        pointer = ("--conversation", known) if known else ()
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators.script_job", "--key", book.key, *pointer, *self.more,
            cwd=self.folder, env=self.environ, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=self.log, start_new_session=True,
        )  # fmt: skip


class Aim:
    """A kill that waits for its moment."""

    def __init__(self, *, loading: bool, after_s: float) -> None:
        self.loading = loading
        self.after_s = after_s
        self.met: asyncio.Future[Victim] = asyncio.get_running_loop().create_future()


class _Gone(Exception):
    """The process ended: the caller hears nothing any more."""


class Caller:
    """A person who says things one after the other, and says again what was not answered."""

    def __init__(self, number: int, command: JobCommand, *, seed: int) -> None:
        self.number = number
        self.book = Book(key=f"chaos-{seed}-{number}")
        self.process_count = 0
        self._command = command
        self._chance = random.Random(f"{seed}/{number}")
        self._by_key = number % 4 == 3
        self._hanging_up = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._kill: Aim | None = None
        self._is_ready = False
        self._one_kill = asyncio.Lock()

    def hang_up(self) -> None:
        """End the call after the turn that is under way."""
        self._hanging_up.set()

    async def kill(self, *, loading: bool, after_s: float) -> Victim:
        """Kill the caller's process ``after_s`` into its next turn (or load); say what it did.

        A load comes after another kill; the plan puts one before.
        """
        async with self._one_kill:
            self._kill = Aim(loading=loading, after_s=after_s)
            return await self._kill.met

    async def live(self) -> None:
        """Call, speak, and call again, until it is time to hang up."""
        await asyncio.sleep(self.number * APART_S)
        while not self._hanging_up.is_set() or not self.process_count:
            self.process_count += 1
            self._process = await self._command.start(self.book)
            try:
                await self._converse(self._process)
            except _Gone:
                await self._process.wait()
            finally:
                await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def _converse(self, process: asyncio.subprocess.Process) -> None:
        self._is_ready = False
        self._arm(loading=True)
        shown = await self._read(process, "ready", READY_S)
        self._is_ready = True
        writer_id = str(shown["writer"])
        self.book.writers.append(writer_id)
        if shown["ready"] and not self._by_key:
            self.book.conversation_id = str(shown["ready"])
        while not self._hanging_up.is_set():
            await self._say(process, writer_id)
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))
        assert process.stdin is not None
        process.stdin.close()
        await self._read(process, "left", LEAVE_S)
        await process.wait()

    async def _say(self, process: asyncio.subprocess.Process, writer_id: str) -> None:
        said = Said(token=f"c{self.number}-u{len(self.book.said)}", writer_id=writer_id)
        line = {"say": said.token, "speech_ms": self._chance.randrange(12),
                "think_ms": self._chance.randrange(25)}  # fmt: skip
        assert process.stdin is not None
        self.book.said.append(said)
        try:
            process.stdin.write(json.dumps(line).encode() + b"\n")
            self._arm(loading=False)
            await process.stdin.drain()
        except ConnectionError as exc:
            raise _Gone from exc
        said.heard = int((await self._read(process, "heard", ANSWER_S))["ordinal"])
        said.answered = int((await self._read(process, "answered", ANSWER_S))["ordinal"])

    async def _read(
        self, process: asyncio.subprocess.Process, name: str, within_s: float
    ) -> dict[str, Any]:
        """What the process shows next under ``name``; other things are looked at on the way."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                async for line in process.stdout:
                    shown: dict[str, Any] = json.loads(line)
                    if name in shown:
                        return shown
                    if "left" in shown:
                        break
        except TimeoutError:
            self.book.note(Fault.STUCK, f"no {name!r} within {within_s:.0f} s")
        raise _Gone

    def _arm(self, *, loading: bool) -> None:
        if self._kill is not None and self._kill.loading is loading:
            loop = asyncio.get_running_loop()
            loop.call_later(self._kill.after_s, self._hit, self._kill, self._process)

    def _hit(self, aim: Aim, process: asyncio.subprocess.Process | None) -> None:
        if aim is not self._kill or process is None or process is not self._process:
            return  # it ended by itself meanwhile: the next one is hit
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            aim.met.set_result(Victim.JOB if self._is_ready else Victim.LOADING_JOB)
            self._kill = None


@contextlib.asynccontextmanager
async def calling(callers: list[Caller]) -> AsyncIterator[asyncio.TaskGroup]:
    """Let all callers live for the length of the block; then they hang up."""
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(caller.live(), name=f"caller-{caller.number}")
        try:
            yield group
        finally:
            for caller in callers:
                caller.hang_up()
