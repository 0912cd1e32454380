"""Is an agent there, on its way, or lost? Pure: what was seen goes in, what to do comes out.

Presence alone lies: LiveKit lists a killed agent for 20 s, and its server keeps a dispatch's job
"running" for good. What tells is the agent's own lease in the log, once it has sent a heartbeat.
An agent that never sends one (somebody's plain worker) is judged by presence.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from backend.storage.records import AgentLife, Call, CallState


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One dispatch of our agent. ``taken``: a worker accepted it."""

    id: str
    created_ms: int
    identities: frozenset[str]
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent that is listed. ``active``: its connection is made."""

    identity: str
    joined_ms: int
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """What LiveKit says about a room: nothing of it but its own clock is compared."""

    exists: bool
    people_count: int = 0
    agents: tuple[Agent, ...] = ()
    dispatches: tuple[Dispatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to believe in what, in ms."""

    unclaimed_ms: int
    join_ms: int
    lost_ms: int


class Action(Enum):
    """What to do about a room."""

    WAIT = "wait"
    CREATE = "create"  # the room itself, then dispatch
    DISPATCH = "dispatch"  # take back what was, then ask for an agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do, what to tell, when to look again. ``lost``: agents to take off the list."""

    action: Action
    state: CallState
    detail: str
    look_again_ms: int
    lost: frozenset[str] = frozenset()


EXPECTED_MS: Final = 60_000
"""How long after a call was opened somebody is expected to join."""
RETURN_MS: Final = 30_000
"""How long a vanished room may come back (LiveKit restarted) before the call is closed."""
_SOON_MS: Final = 300
_CALM_MS: Final = 5_000
_SLOW_MS: Final = 15_000


def judge(
    call: Call, view: RoomView, life: AgentLife | None, patience: Patience, now_ms: int
) -> Verdict:
    """Decide about one call. Total: never raises."""
    waited_for = view.people_count > 0 or now_ms - _last_wanted_ms(call) < EXPECTED_MS
    if not view.exists:
        return _without_room(call, now_ms)
    current = _current(call, view)
    dead = _is_dead(call, life, patience, now_ms)
    listed = _listed(current, view)
    if any(agent.active for agent in listed) and not dead:
        look_ms = _SLOW_MS if life is not None and life.beats else _CALM_MS
        return Verdict(
            action=Action.WAIT, state="joined", detail="the agent is there", look_again_ms=look_ms
        )
    if not waited_for:
        return Verdict(
            action=Action.WAIT,
            state="absent",
            detail="nobody is waiting in the room",
            look_again_ms=_CALM_MS,
        )
    seen = _Seen(dead=dead, listed=frozenset(agent.identity for agent in listed))
    return _search(call, current, seen, patience, now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    dead: bool
    listed: frozenset[str]


def _search(
    call: Call, current: Dispatch | None, seen: _Seen, patience: Patience, now_ms: int
) -> Verdict:
    """Somebody waits and no living agent is there."""
    if seen.dead:
        return _again("the agent was lost: asking for another one", lost=seen.listed)
    if current is None:
        return _again("asking for an agent")
    age_ms = now_ms - max(call.dispatched_ms, current.created_ms)
    if current.taken or seen.listed:
        if call.state == "joined" and not seen.listed:
            return _again("the agent has left: asking for another one")
        if age_ms < patience.join_ms:
            return _waiting("an agent has taken the call and is on its way")
        return _again("the agent did not arrive: asking for another one")
    if age_ms < patience.unclaimed_ms:
        return _waiting("asking for an agent")
    return _again("no agent is free at the moment: asking again")


def _again(detail: str, *, lost: frozenset[str] = frozenset()) -> Verdict:
    return Verdict(
        action=Action.DISPATCH,
        state="dispatching",
        detail=detail,
        look_again_ms=_SOON_MS,
        lost=lost,
    )


def _waiting(detail: str) -> Verdict:
    return Verdict(action=Action.WAIT, state="dispatching", detail=detail, look_again_ms=_SOON_MS)


def _without_room(call: Call, now_ms: int) -> Verdict:
    if call.attempts == 0:
        return Verdict(
            action=Action.CREATE,
            state="dispatching",
            detail="asking for an agent",
            look_again_ms=_SOON_MS,
        )
    if now_ms - _last_wanted_ms(call) < RETURN_MS:
        return Verdict(
            action=Action.WAIT,
            state="absent",
            detail="the room is closed",
            look_again_ms=_SOON_MS * 3,
        )
    return Verdict(
        action=Action.WAIT, state="closed", detail="the call has ended", look_again_ms=_SLOW_MS
    )


def _last_wanted_ms(call: Call) -> int:
    return max(call.created_ms, call.people_seen_ms)


def _current(call: Call, view: RoomView) -> Dispatch | None:
    """Find the dispatch that counts: the call's, else the newest (a replica died before saving)."""
    for dispatch in view.dispatches:
        if dispatch.id == call.dispatch_id:
            return dispatch
    return max(view.dispatches, key=lambda dispatch: dispatch.created_ms, default=None)


def _listed(current: Dispatch | None, view: RoomView) -> tuple[Agent, ...]:
    """The listed agents that count: those of the current dispatch, never an earlier one's ghost.

    LiveKit 1.13.5 forgets the job of a dispatch that was made in the moment its room was created:
    the agent is there and the dispatch names nobody. Then whoever came after it counts.
    """
    if current is None:
        return view.agents
    if any(current.identities):
        return tuple(agent for agent in view.agents if agent.identity in current.identities)
    return tuple(agent for agent in view.agents if agent.joined_ms >= current.created_ms)


def _is_dead(call: Call, life: AgentLife | None, patience: Patience, now_ms: int) -> bool:
    """Say whether the log knows that the agent of the current dispatch is gone."""
    if life is None or life.registered_ms < call.dispatched_ms:
        return False
    return life.ended or (life.beats and now_ms - life.lease_until_ms > patience.lost_ms)
