"""The job that makes sure an agent arrives, and another one when it is lost.

LiveKit drops a dispatch for good when no worker is free at that moment, and never replaces a job
that died. So each open call is a row that is looked at again and again: claimed by one replica at
a time, judged, acted on. Killed in between, the next look (here or on another replica) goes on.
"""

import asyncio
import dataclasses
import logging
import random
from typing import Final

from backend.api.metrics import Metrics
from backend.calls.judge import Action, Patience, RoomView, Verdict, judge
from backend.calls.rooms import Rooms
from backend.clock import new_id, now_ms
from backend.errors import Unavailable
from backend.jobs import Jobs
from backend.settings import Settings
from backend.storage.ports import Calls
from backend.storage.records import Call

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.25
_LOST_LOOK_S: Final = 0.5
_CLAIM_MS: Final = 15_000
_AT_ONCE: Final = 16
_FIRST_RETRY_MS: Final = 500
_LONGEST_RETRY_MS: Final = 5_000


class Dispatcher:
    """Sees to the agents of all open calls."""

    def __init__(self, settings: Settings, storage: Calls, rooms: Rooms, metrics: Metrics) -> None:
        self._storage = storage
        self._rooms = rooms
        self._metrics = metrics
        self._patience = Patience(
            unclaimed_ms=round(settings.dispatch_unclaimed_s * 1000),
            join_ms=round(settings.dispatch_join_s * 1000),
            lost_ms=round(settings.agent_lost_s * 1000),
        )
        self._name = new_id()
        self._woken = asyncio.Event()
        self._failures: dict[str, int] = {}

    def wake(self) -> None:
        """Look now: a call was opened or asked about."""
        self._woken.set()

    async def run(self, jobs: Jobs) -> None:
        """Look at due calls until the stop."""
        # Right after a start every lease looks lost: agents get the time to show that they live.
        watch_from = now_ms() + self._patience.lost_ms * 2
        while not jobs.stopping.is_set():
            self._woken.clear()
            now = now_ms()
            if now >= watch_from:
                await self._storage.wake_lost_calls(
                    now_ms=now, lost_before_ms=now - self._patience.lost_ms
                )
            due = await self._storage.claim_calls(
                self._name, now_ms=now, until_ms=now + _CLAIM_MS, limit=_AT_ONCE
            )
            if due:
                async with asyncio.TaskGroup() as group:
                    for call in due:
                        group.create_task(self._see_to(call))
            else:
                await self._pause(jobs)

    async def _pause(self, jobs: Jobs) -> None:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        if jobs.stopping.is_set():
            return

    async def _see_to(self, call: Call) -> None:
        try:
            seen = await self._step(call)
            self._failures.pop(call.room, None)
        except Unavailable as exc:
            seen = self._after_failure(call, exc)
        await self._storage.save_call(self._name, seen, claimed_due_ms=call.due_ms)

    async def _step(self, call: Call) -> Call:
        """Look into the room once, and do what is to be done."""
        view = await self._rooms.view(call.room)
        now = now_ms()
        life = await self._storage.agent_life(
            call.tenant, call.conversation_id, call.room, now_ms=now
        )
        if view.people_count:
            call = dataclasses.replace(call, people_seen_ms=now)
        verdict = judge(call, view, life, self._patience, now)
        if verdict.state != call.state:
            self._report(call, verdict)
        call = dataclasses.replace(
            call,
            state=verdict.state,
            detail=verdict.detail,
            due_ms=now_ms() + _jittered(verdict.look_again_ms),
        )
        if verdict.action is Action.WAIT:
            return call
        return await self._dispatch(call, view, verdict)

    async def _dispatch(self, call: Call, view: RoomView, verdict: Verdict) -> Call:
        """Ask for an agent. What was asked before is taken back first: never two agents."""
        if verdict.action is Action.CREATE:
            await self._rooms.create(call.room, call.conversation_id)
        for dispatch in view.dispatches:
            await self._rooms.withdraw(call.room, dispatch.id)
        for identity in verdict.lost:
            await self._rooms.remove(call.room, identity)
        mode = call.mode if call.attempts == 0 else "continue"
        asked_ms = now_ms()
        dispatch_id = await self._rooms.dispatch(call.room, call.conversation_id, mode)
        self._metrics.dispatches.labels("asked").inc()
        return dataclasses.replace(
            call,
            attempts=call.attempts + 1,
            dispatch_id=dispatch_id,
            dispatched_ms=asked_ms,
        )

    def _after_failure(self, call: Call, exc: Unavailable) -> Call:
        count = self._failures[call.room] = self._failures.get(call.room, 0) + 1
        self._metrics.dispatches.labels(exc.code).inc()
        longest = min(_FIRST_RETRY_MS * 2**count, _LONGEST_RETRY_MS)
        log.warning(
            "call not seen to",
            extra={
                "conversation_id": call.conversation_id,
                "op": "dispatch",
                "outcome": exc.code,
                "attempt": count,
            },
        )
        return dataclasses.replace(
            call, detail=f"{exc.detail} (trying again)", due_ms=now_ms() + _jittered(longest)
        )

    def _report(self, call: Call, verdict: Verdict) -> None:
        self._metrics.dispatches.labels(verdict.state).inc()
        log.info(
            "call changed",
            extra={
                "conversation_id": call.conversation_id,
                "op": "dispatch",
                "outcome": verdict.state,
                "attempt": call.attempts,
            },
        )


def _jittered(longest_ms: int) -> int:
    return round(longest_ms * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
