"""Fifty kills among twenty calls: what callers were shown is stored once and in order.

Real job processes below the audio, a real relay, a real backend, faults between them. The same at
any size: ``dev.py chaos --kills 1000``.
"""

from pathlib import Path

import pytest

from simulators.chaos.plan import Plan, Victim, make_plan
from simulators.chaos.report import table
from simulators.chaos.run import Outcome, Run
from simulators.checker import Fault

pytestmark = pytest.mark.timeout(300)


def explained(outcome: Outcome) -> str:
    return "\n".join([table(outcome), *outcome.plan.lines()])


async def play(plan: Plan, folder: Path, *, without_outbox: bool = False) -> Outcome:
    return await Run(plan, folder, without_outbox=without_outbox).play()


async def test_fifty_kills_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    outcome = await play(make_plan(4, kills=50, callers=20), tmp_path)
    assert not outcome.violations, explained(outcome)
    assert not outcome.left, explained(outcome)
    assert outcome.kill_count == 50
    assert all(outcome.kills[victim] for victim in Victim), explained(outcome)
    assert outcome.stored_count > 200, explained(outcome)


async def test_without_the_outbox_the_same_kills_lose_what_was_shown(tmp_path: Path) -> None:
    """The proof that the checker sees a loss: only the outbox is gone."""
    outcome = await play(make_plan(4, kills=14, callers=6), tmp_path, without_outbox=True)
    lost = [one for one in outcome.violations if one.fault is Fault.LOST]
    assert lost, explained(outcome)


def test_the_same_seed_makes_the_same_plan() -> None:
    assert make_plan(7, kills=50, callers=20) == make_plan(7, kills=50, callers=20)
    assert make_plan(7, kills=50, callers=20) != make_plan(8, kills=50, callers=20)
