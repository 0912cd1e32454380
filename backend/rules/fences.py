"""Fences: the ownership numbers of writers, and the session each belongs to.

``fence = max(highest known + 1, the writer's start in unix ms)`` when granted. A claimed one (made
from the clock while the backend was away) stays if it is free, even below newer ones: what its
writer said then sorts where it was said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart:
    """Where a session began: every fence above ``after_fence`` is in it or in a later one."""

    number: int
    after_fence: int


def grant(
    *,
    claimed: int | None,
    started_ms: int,
    highest: int,
    floor: int,
    is_used: Callable[[int], bool],
) -> int:
    """Decide a writer's final fence.

    ``floor`` is the last clear's place: a fence granted after a clear lies above it even when the
    writer's clock is behind, so that its events belong to the new session.
    """
    if claimed is not None and not is_used(claimed):
        return claimed
    return max(highest + 1, floor + 1, started_ms)


def session_at(fence: int, starts: Sequence[SessionStart]) -> int:
    """Say which session was open at ``fence``. ``starts`` ascend and do not list session 0."""
    number = 0
    for start in starts:
        if start.after_fence < fence:
            number = max(number, start.number)
    return number


def after_clear(*, highest: int, floor: int, now_ms: int) -> int:
    """Place a clear among the fences: above all that are known, and not before the clock."""
    return max(highest, floor, now_ms)
