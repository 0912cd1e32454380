"""How long to wait before the next try."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Full jitter: a random share of a ceiling that doubles up to ``cap_s``.

    The peer's own Retry-After is the lower bound, and is not shortened by the cap.
    """

    base_s: float = 0.1
    cap_s: float = 10.0
    random: Callable[[], float] = random.random

    def delay_s(self, attempt: int, *, hint_s: float | None = None) -> float:
        """Seconds before try ``attempt + 1``, where ``attempt`` counts from 0."""
        ceiling: float = min(self.cap_s, self.base_s * 2.0 ** min(attempt, 30))
        return max(hint_s or 0.0, self.random() * ceiling)
