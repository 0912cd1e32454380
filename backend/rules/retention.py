"""What may be forgotten: the oldest events of a conversation, never those of a running session.

Kept for good: where sessions began and calls ended, the newest state, and what identifies each
event, so that numbers are never reused and a repeated batch is answered as the first time.
"""

from dataclasses import dataclass
from typing import Final

FOR_GOOD: Final = frozenset({"context_cleared", "call_ended"})
"""Kinds that are never pruned: the boundaries of sessions and calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What to keep of each conversation; None: no limit."""

    max_events: int | None
    since_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a conversation holds. Positions; ``first_young`` None: everything is older.

    ``running_from``: the first event of the running session; None: no agent lives.
    """

    last: int
    first_young: int | None
    running_from: int | None


def prunable(keep: Keep, held: Held) -> int:
    """Say up to which position events may be forgotten; 0: none."""
    up_to = 0
    if keep.max_events is not None:
        up_to = held.last - keep.max_events
    if keep.since_ms is not None:
        up_to = max(up_to, held.last if held.first_young is None else held.first_young - 1)
    if held.running_from is not None:
        up_to = min(up_to, held.running_from - 1)
    return max(up_to, 0)
