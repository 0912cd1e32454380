"""A whole run: calls, kills and faults by a plan; then peace, and the verdict."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from devtools.paths import ROOT
from devtools.servers.server import Server
from simulators.chaos.callers import Caller, JobCommand, calling
from simulators.chaos.plan import Kill, Plan, Step, Trouble, Victim
from simulators.chaos.surroundings import Surroundings
from simulators.checker import Book, Kept, Violation, check
from simulators.fault_proxy import Fault, FaultProxy
from simulators.outside import Outside

SETTLE_S = 60.0
READ_AT_ONCE = 4


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run did and what it found."""

    plan: Plan
    kills: Counter[Victim] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    books: list[Book] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    process_count: int = 0
    stored_count: int = 0
    took_s: float = 0.0
    settled_s: float | None = None
    """Seconds from the last hang-up until every outbox was delivered; None: not in time."""
    left: list[str] = field(default_factory=list)

    @property
    def kill_count(self) -> int:
        """Kills that were met."""
        return sum(self.kills.values())


class Run:
    """One run of a plan in a folder of its own."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        without_outbox: bool = False,
        durability: str = "process",
        on_progress: Callable[[Outcome, list[Caller]], None] = lambda *_: None,
    ) -> None:
        self.outcome = Outcome(plan=plan)
        self._plan = plan
        self._without_outbox = without_outbox
        self._durability = durability
        self._on_progress = on_progress
        self._around = Surroundings(folder, with_relay=not without_outbox)
        self._callers: list[Caller] = []

    async def play(self) -> Outcome:
        """Play the plan to its end and check what is left of it."""
        began_s = time.monotonic()
        async with self._around:
            if self._durability != "process":
                self._around.environ["VOICE_OUTBOX__DURABILITY"] = self._durability
            with (self._around.folder / "logs" / "jobs.log").open("ab") as log:
                await self._call_through(log)
            await self._settle()
            await self._judge()
        self.outcome.took_s = time.monotonic() - began_s
        return self.outcome

    async def _call_through(self, log: IO[bytes]) -> None:
        more = ("--without-outbox",) if self._without_outbox else ()
        command = JobCommand(environ=self._around.environ, folder=ROOT, log=log, more=more)
        self._callers = [
            Caller(number, command, seed=self._plan.seed) for number in range(self._plan.callers)
        ]
        async with calling(self._callers), asyncio.TaskGroup() as lanes:
            lanes.create_task(self._kill_jobs())
            lanes.create_task(self._kill_relays())
            around, plan = self._around, self._plan
            lanes.create_task(self._trouble(plan.backend, around.backend, around.proxy))
            lanes.create_task(self._trouble(plan.redis, around.redis, around.redis_proxy))
        self.outcome.books = [caller.book for caller in self._callers]
        self.outcome.process_count = sum(caller.process_count for caller in self._callers)

    async def _kill_jobs(self) -> None:
        async with asyncio.TaskGroup() as kills:
            for kill in self._plan.jobs:
                await asyncio.sleep(kill.rest_ms / 1000)
                kills.create_task(self._kill_job(kill))

    async def _kill_job(self, kill: Kill) -> None:
        loading = kill.victim is Victim.LOADING_JOB
        caller = self._callers[kill.caller]
        self._met(await caller.kill(loading=loading, after_s=kill.after_ms / 1000))

    async def _kill_relays(self) -> None:
        for kill in self._plan.relay:
            await asyncio.sleep(kill.rest_ms / 1000)
            if not self._without_outbox:
                await self._around.relay.kill()
                self._met(Victim.RELAY)

    async def _trouble(self, steps: Sequence[Step], server: Server, network: FaultProxy) -> None:
        for step in steps:
            await asyncio.sleep(step.rest_ms / 1000)
            if isinstance(step, Trouble):
                await network.set(step.fault)
                await asyncio.sleep(step.lasts_ms / 1000)
                self.outcome.faults[step.fault] += network.met
                await network.set(Fault.NONE)
            else:
                await self._around.kill_server(server, down_s=step.down_ms / 1000)
                self._met(step.victim)

    def _met(self, victim: Victim) -> None:
        self.outcome.kills[victim] += 1
        self._on_progress(self.outcome, self._callers)

    async def _settle(self) -> None:
        began_s = time.monotonic()
        while left := self._around.undelivered():
            if time.monotonic() - began_s > SETTLE_S:
                self.outcome.left = left
                return
            await asyncio.sleep(0.02)
        self.outcome.settled_s = time.monotonic() - began_s

    async def _judge(self) -> None:
        backend = self._around.backend
        token = await asyncio.to_thread(lambda: backend.token)
        reading = asyncio.Semaphore(READ_AT_ONCE)
        async with Outside(url=backend.url, token=token) as outside:

            async def judge(book: Book) -> None:
                async with reading:
                    kept = await _read(outside, book)
                self.outcome.stored_count += len(kept.messages)
                self.outcome.violations += check(book, kept)

            async with asyncio.TaskGroup() as group:
                for book in self.outcome.books:
                    group.create_task(judge(book))


async def _read(outside: Outside, book: Book) -> Kept:
    conversation_id = await outside.resolve(book.key)
    return Kept(
        conversation=await outside.conversation(conversation_id),
        messages=await outside.all_messages(conversation_id),
        events=await outside.events(conversation_id),
    )
