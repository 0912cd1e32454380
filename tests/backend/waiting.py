"""Waiting for an outcome, with a deadline; a test that slept would only hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within_s: float = 10.0, every_s: float = 0.02) -> T:
    """Look until the answer is truthy; return it."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within_s} s; last seen: {seen!r}"
        time.sleep(every_s)
