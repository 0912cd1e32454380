"""One speaks: who holds the lease, in Redis and in the backend, and what happens where they differ.

A real Valkey. The backend is our own port's plain fake, because what it says is what is tested.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.waiting import wait_for
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import SystemClock, unix_ms
from voice_agent.aio.supervisor import Jobs, supervised
from voice_agent.call.enrolment import Enrolment, Place, Pointer
from voice_agent.domain.errors import LayerUnavailable, LeaseHeld, OwnershipLost, VoiceAgentError
from voice_agent.domain.ids import ConversationId, JobId, RoomName, WriterId
from voice_agent.state import ownership
from voice_agent.state.hot_client import HotClient
from voice_agent.state.hot_lease import LEASE_S, HotLeases
from voice_agent.state.keys import Keys
from voice_agent.state.ownership import Holder, Lease
from voice_agent.state.ports import Backend, LeaseState

TALK = ConversationId("talk")
OLD, NEW = WriterId("old"), WriterId("new")
OLD_FENCE, NEW_FENCE = 1_763_700_000_000, 1_763_700_000_001


class JumpingClock(SystemClock):
    """A clock that somebody may set, and whose machine may sleep."""

    def __init__(self) -> None:
        self.set_by = timedelta()
        self.slept_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + self.set_by

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.slept_s


async def unheard(_: LeaseState) -> None:
    """What a heartbeat says beside the lease."""


class Verdicts:
    """A backend that answers heartbeats as the test says: an error, or None for a renewal."""

    def __init__(self) -> None:
        self.next: dict[WriterId, VoiceAgentError | None] = {}
        self.asked: list[WriterId] = []

    async def renew_lease(
        self, conversation_id: ConversationId, writer_id: WriterId, **_: int
    ) -> LeaseState:
        self.asked.append(writer_id)
        if (error := self.next.get(writer_id)) is not None:
            raise error
        return LeaseState(session_number=0, highest_fence=1, lease_s=3.0)


AWAY = LayerUnavailable(layer="backend", op="renew_lease")


@dataclass
class Agents:
    """Two agents of one conversation."""

    leases: HotLeases | None
    clock: JumpingClock
    verdicts: Verdicts

    def lease(self, writer_id: WriterId, fence: int) -> Lease:
        backend: Backend = self.verdicts  # type: ignore[assignment]  # the one method of it
        return Lease(
            Holder(
                writer_id=writer_id,
                conversation_id=lambda: TALK,
                fence=lambda: fence,
                is_registered=lambda: True,
                last_ordinal=lambda: 0,
                session_number=lambda: 0,
            ),
            backend=backend,
            leases=self.leases,
            clock=self.clock,
            on_lost=lambda: None,
        )


@pytest.fixture
def leases(redis_client: HotClient) -> HotLeases:
    return HotLeases(redis_client, Keys(tenant="acme"), ttl_s=60)


@pytest.fixture
def agents(leases: HotLeases) -> Agents:
    return Agents(leases=leases, clock=JumpingClock(), verdicts=Verdicts())


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    async with supervised(clock=SystemClock(), backoff=Backoff(), drain_s=2.0) as opened:
        yield opened


async def test_the_lease_in_redis_belongs_to_who_holds_it_until_it_ends(leases: HotLeases) -> None:
    assert await leases.renew(TALK, OLD, fence=OLD_FENCE) == OLD_FENCE
    assert await leases.renew(TALK, OLD, fence=OLD_FENCE) == OLD_FENCE
    with pytest.raises(LeaseHeld):
        await leases.renew(TALK, NEW, fence=NEW_FENCE)
    await leases.release(TALK, NEW)  # not its own: nothing happens
    with pytest.raises(LeaseHeld):
        await leases.renew(TALK, NEW, fence=NEW_FENCE)
    await leases.release(TALK, OLD)
    assert await leases.renew(TALK, NEW, fence=NEW_FENCE) == NEW_FENCE
    with pytest.raises(OwnershipLost) as lost:
        await leases.renew(TALK, OLD, fence=OLD_FENCE)
    assert lost.value.newer == NEW_FENCE


async def test_the_lease_of_a_writer_that_stands_still_expires(redis_client: HotClient) -> None:
    short = HotLeases(redis_client, Keys(tenant="acme"), ttl_s=60, lease_s=0.05)
    await short.renew(TALK, OLD, fence=OLD_FENCE)

    async with asyncio.timeout(5.0):
        while True:
            with contextlib.suppress(LeaseHeld):
                assert await short.renew(TALK, NEW, fence=NEW_FENCE) == NEW_FENCE
                return
            await asyncio.sleep(0.01)


async def test_a_fence_is_above_all_that_redis_has_seen_though_the_clock_jumped_back(
    leases: HotLeases, agents: Agents
) -> None:
    await leases.renew(TALK, OLD, fence=unix_ms(agents.clock.now()))
    agents.clock.set_by = timedelta(hours=-1)
    late = Enrolment(
        Pointer(key="k", conversation_id=TALK),
        Place(room=RoomName("r"), job_id=JobId("j")),
        max_gap_s=None,
        clock=agents.clock,
        new_id=lambda: "late",
    )
    before = late.fence
    await late.claim(leases)
    assert late.fence > unix_ms(datetime.now(UTC)) - 60_000 > before
    with pytest.raises(LeaseHeld):  # and not as if the older one were the newer
        await leases.renew(TALK, late.writer_id, fence=late.fence)


async def test_a_newcomer_waits_for_the_release_and_then_speaks(
    leases: HotLeases, agents: Agents
) -> None:
    assert await agents.lease(OLD, OLD_FENCE).acquire()
    waiting = asyncio.ensure_future(agents.lease(NEW, NEW_FENCE).acquire())
    await asyncio.sleep(ownership.LOOK_S * 3)  # it has looked more than once
    assert not waiting.done()
    await leases.release(TALK, OLD)
    async with asyncio.timeout(1.0):
        assert await waiting


async def test_a_newcomer_leaves_when_the_holder_lives_on_and_takes_nothing_with_it(
    leases: HotLeases, agents: Agents
) -> None:
    old = agents.lease(OLD, OLD_FENCE)
    assert await old.acquire()
    newcomer = agents.lease(NEW, NEW_FENCE)
    waiting = asyncio.ensure_future(newcomer.acquire(lease_s=0.2))
    while not waiting.done():
        assert await old.check()
        await asyncio.sleep(0.05)  # its heartbeats
    assert not await waiting
    assert await leases.renew(TALK, OLD, fence=OLD_FENCE)


async def test_redis_grants_it_but_the_backend_has_a_living_holder_and_the_newcomer_gives_it_back(
    leases: HotLeases, agents: Agents
) -> None:
    """An agent without Redis serves the conversation."""
    agents.verdicts.next[NEW] = LeaseHeld()
    assert not await agents.lease(NEW, NEW_FENCE).acquire(lease_s=0.0)
    assert await leases.renew(TALK, OLD, fence=OLD_FENCE) == NEW_FENCE


@pytest.mark.parametrize("with_redis", [True, False])
async def test_after_a_pause_the_loser_is_told_before_it_speaks(
    agents: Agents, leases: HotLeases, *, with_redis: bool
) -> None:
    if not with_redis:
        agents.leases = None
    old = agents.lease(OLD, OLD_FENCE)
    assert await old.acquire()
    await leases.release(TALK, OLD)  # as its expiry does
    if with_redis:
        await leases.renew(TALK, NEW, fence=NEW_FENCE)
    agents.verdicts.next[OLD] = OwnershipLost(fence=OLD_FENCE, newer=NEW_FENCE)
    assert not await old.check()
    assert old.is_lost


async def test_a_lease_that_cannot_be_reached_is_not_lost(agents: Agents) -> None:
    agents.leases = None
    agents.verdicts.next[OLD] = AWAY
    old = agents.lease(OLD, OLD_FENCE)
    assert await old.acquire()
    assert await old.check()


async def test_what_the_backend_says_does_not_count_while_redis_keeps_the_lease(
    agents: Agents, jobs: Jobs
) -> None:
    """The backend was away and gave its lease to a newcomer that now waits for Redis's."""
    old = agents.lease(OLD, OLD_FENCE)
    assert await old.acquire()
    agents.verdicts.next[OLD] = OwnershipLost(fence=OLD_FENCE, newer=NEW_FENCE)
    agents.verdicts.asked.clear()
    jobs.start("lease", lambda: old.keep(jobs, unheard))
    await wait_for(lambda: agents.verdicts.asked)
    assert not old.is_lost
    agents.clock.slept_s += LEASE_S  # Redis's word is too old now: the backend's counts
    await wait_for(lambda: old.is_lost)


async def test_the_loser_knows_within_one_heartbeat(
    agents: Agents, leases: HotLeases, jobs: Jobs
) -> None:
    old = agents.lease(OLD, OLD_FENCE)
    assert await old.acquire()
    jobs.start("lease", lambda: old.keep_in_redis(jobs))
    await leases.release(TALK, OLD)
    await leases.renew(TALK, NEW, fence=NEW_FENCE)
    await wait_for(lambda: old.is_lost, within_s=ownership.HEARTBEAT_S + 0.5)
    assert await leases.renew(TALK, NEW, fence=NEW_FENCE)  # and its going takes nothing away
