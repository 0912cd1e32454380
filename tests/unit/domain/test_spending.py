"""What was spent is told once, and only what is a number."""

import math

from voice_agent.domain.usage import MOST, Spending, Usage


def used(model: str = "m", **counts: float) -> Usage:
    return Usage(service="llm", provider="p", model=model, counts=counts)


def test_what_was_spent_is_added_up_and_told_once() -> None:
    spending = Spending()
    spending.add(used(requests=1, audio_s=0.1))
    spending.add(used(requests=1, audio_s=0.2))
    spending.add(used("other", requests=1))
    assert spending.take() == (used(requests=2, audio_s=0.3), used("other", requests=1))
    assert spending.take() is None
    spending.add(used(requests=1))
    assert spending.take() == (used(requests=1),)


def test_what_is_no_amount_is_left_out() -> None:
    """A backend refuses it, and with it the end of the turn that carries it."""
    spending = Spending()
    spending.add(used(a=math.nan, b=math.inf, c=-1, d=0, e=MOST + 1))
    assert spending.take() is None
    spending.add(used(a=math.nan, requests=1))
    assert spending.take() == (used(requests=1),)
