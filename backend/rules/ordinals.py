"""Which ordinals of a writer have arrived: everything up to a mark, and runs beyond it.

Kept beside the writer and not derived from its events, so that pruning old events changes
nothing. Wrong answers here would lose or double what an agent delivers again.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

Run = tuple[int, int]
"""First and last ordinal of a run without a gap, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """``acknowledged``: the highest ordinal without a gap below it. ``ahead``: runs beyond."""

    acknowledged: int = 0
    ahead: tuple[Run, ...] = ()

    @property
    def highest(self) -> int:
        """The highest ordinal that has arrived at all."""
        return self.ahead[-1][1] if self.ahead else self.acknowledged

    def has(self, ordinal: int) -> bool:
        """Say whether ``ordinal`` has arrived."""
        if ordinal <= self.acknowledged:
            return True
        if not self.ahead:
            return False
        at = bisect_right(self.ahead, (ordinal, ordinal)) - 1
        return any(first <= ordinal <= last for first, last in self.ahead[max(at, 0) : at + 2])

    def missing(self, up_to: int = 0) -> tuple[Run, ...]:
        """List the gaps below the highest ordinal known (``up_to``: what the writer said)."""
        gaps: list[Run] = []
        below = self.acknowledged
        for first, last in self.ahead:
            gaps.append((below + 1, first - 1))
            below = last
        if up_to > below:
            gaps.append((below + 1, up_to))
        return tuple(gaps)

    def with_all(self, ordinals: Iterable[int]) -> "Received":
        """Add ``ordinals``, in any order; adding one twice changes nothing."""
        new = sorted({n for n in ordinals if not self.has(n)})
        if not new:
            return self
        if not self.ahead and (self.acknowledged + 1, new[-1] - new[0] + 1) == (new[0], len(new)):
            return Received(acknowledged=new[-1])  # what nearly every batch is: simply the next
        runs: list[Run] = []
        for first, last in sorted([*self.ahead, *((n, n) for n in new)]):
            if runs and first == runs[-1][1] + 1:
                runs[-1] = (runs[-1][0], last)
            else:
                runs.append((first, last))
        if runs[0][0] == self.acknowledged + 1:
            return Received(acknowledged=runs[0][1], ahead=tuple(runs[1:]))
        return Received(acknowledged=self.acknowledged, ahead=tuple(runs))
