"""What is believed about an agent, and what is done: the pure decision, as a table."""

import pytest

from backend.calls.judge import Action, Agent, Dispatch, Patience, RoomView, judge
from backend.storage.records import AgentLife, Call, CallState

NOW = 1_000_000
PATIENCE = Patience(unclaimed_ms=5_500, join_ms=15_000, lost_ms=3_000)


def call(
    *, asked_ago: int | None = 1_000, opened_ago: int = 2_000, state: CallState = "dispatching"
) -> Call:
    """A call whose dispatch was made ``asked_ago`` ms ago, if at all."""
    return Call(
        tenant="t",
        room="r",
        conversation_id="c",
        mode="new",
        state=state,
        attempts=0 if asked_ago is None else 1,
        created_ms=NOW - opened_ago,
        due_ms=NOW,
        dispatch_id=None if asked_ago is None else "d",
        dispatched_ms=0 if asked_ago is None else NOW - asked_ago,
    )


def dispatch(*, ago: int = 1_000, by: str = "") -> Dispatch:
    """The call's dispatch; ``by``: the agent that took it."""
    identities = frozenset({by}) if by else frozenset[str]()
    return Dispatch(id="d", created_ms=NOW - ago, identities=identities, taken=bool(by))


def agent(identity: str = "a", *, ago: int = 500, active: bool = True) -> Agent:
    """An agent that is listed since ``ago`` ms."""
    return Agent(identity=identity, joined_ms=NOW - ago, active=active)


def room(*agents: Agent, people: int = 1, asked: Dispatch | None = None) -> RoomView:
    """A room that exists."""
    dispatches = () if asked is None else (asked,)
    return RoomView(exists=True, people_count=people, agents=agents, dispatches=dispatches)


def life(*, lease_ago: int = -1_000, since: int = 500, beats: bool = True, ended: bool = False) -> AgentLife:  # fmt: skip  # noqa: E501
    """What the log knows: the lease ran out ``lease_ago`` ms ago."""
    return AgentLife(
        writer_id="w",
        lease_until_ms=NOW - lease_ago,
        registered_ms=NOW - since,
        beats=beats,
        ended=ended,
    )


GONE = RoomView(exists=False)
WAIT, CREATE, DISPATCH = Action.WAIT, Action.CREATE, Action.DISPATCH
CASES: dict[str, tuple[Call, RoomView, AgentLife | None, Action, CallState]] = {
    "a new call": (call(asked_ago=None), GONE, None, CREATE, "dispatching"),
    "a new call in a prepared room": (call(asked_ago=None), room(), None, DISPATCH, "dispatching"),
    "the caller is expected": (
        call(asked_ago=None), room(people=0), None, DISPATCH, "dispatching",
    ),
    "a dispatch made before a crash": (
        call(asked_ago=None), room(asked=dispatch()), None, WAIT, "dispatching",
    ),
    "just asked": (call(), room(asked=dispatch()), None, WAIT, "dispatching"),
    "no worker took it": (
        call(asked_ago=6_000), room(asked=dispatch(ago=6_000)), None, DISPATCH, "dispatching",
    ),
    "taken, on its way": (
        call(asked_ago=6_000), room(asked=dispatch(ago=6_000, by="a")), None, WAIT, "dispatching",
    ),
    "taken, never there": (
        call(asked_ago=16_000), room(asked=dispatch(ago=16_000, by="a")), None, DISPATCH,
        "dispatching",
    ),
    "connecting": (
        call(asked_ago=6_000), room(agent(active=False), asked=dispatch(ago=6_000)), None, WAIT,
        "dispatching",
    ),
    "there": (call(), room(agent(), asked=dispatch(by="a")), life(), WAIT, "joined"),
    "there, its job forgotten by LiveKit": (
        call(), room(agent(), asked=dispatch()), None, WAIT, "joined",
    ),
    "only the ghost of an earlier dispatch": (
        call(), room(agent(ago=9_000), asked=dispatch()), None, WAIT, "dispatching",
    ),
    "another dispatch's agent": (
        call(), room(agent("ghost"), asked=dispatch(by="a")), None, WAIT, "dispatching",
    ),
    "there without heartbeats": (
        call(), room(agent(), asked=dispatch(by="a")), life(lease_ago=60_000, beats=False), WAIT,
        "joined",
    ),
    "a heartbeat is late": (
        call(), room(agent(), asked=dispatch(by="a")), life(lease_ago=2_000), WAIT, "joined",
    ),
    "heartbeats stopped": (
        call(state="joined"), room(agent(), asked=dispatch(by="a")), life(lease_ago=4_000),
        DISPATCH, "dispatching",
    ),
    "ended, still listed": (
        call(state="joined"), room(agent(), asked=dispatch(by="a")), life(ended=True), DISPATCH,
        "dispatching",
    ),
    "the life of an earlier agent says nothing": (
        call(asked_ago=100), room(agent(ago=50), asked=dispatch(ago=100, by="a")),
        life(since=9_000, ended=True), WAIT, "joined",
    ),
    "thrown out": (
        call(state="joined"), room(asked=dispatch(by="a")), None, DISPATCH, "dispatching",
    ),
    "dead, and nobody waits": (
        call(state="joined", opened_ago=90_000), room(people=0, asked=dispatch(by="a")),
        life(ended=True), WAIT, "absent",
    ),
    "the room has just gone": (call(opened_ago=20_000), GONE, None, WAIT, "absent"),
    "the room is gone for long": (call(opened_ago=40_000), GONE, None, WAIT, "closed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_believed_and_done(
    case: tuple[Call, RoomView, AgentLife | None, Action, CallState],
) -> None:
    asked, view, known, action, state = case
    verdict = judge(asked, view, known, PATIENCE, NOW)
    assert (verdict.action, verdict.state) == (action, state)
    assert verdict.detail


def test_a_lost_agent_is_named_so_that_it_can_be_taken_off_the_list() -> None:
    view = room(agent("dead"), agent("bystander"), asked=dispatch(by="dead"))
    verdict = judge(call(), view, life(ended=True), PATIENCE, NOW)
    assert verdict.lost == {"dead"}
