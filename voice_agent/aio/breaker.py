"""A circuit breaker: after some failures in a row, stop asking for a while."""

from dataclasses import dataclass

from voice_agent.aio.clock import Clock


@dataclass(slots=True, kw_only=True)
class Breaker:
    """Opens after ``failures`` failures in a row, and lets one trial through every ``rest_s``."""

    clock: Clock
    failures: int = 5
    rest_s: float = 5.0
    _in_a_row: int = 0
    _opened_at_s: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a call should not even be tried now."""
        if self._in_a_row < self.failures:
            return False
        return self.clock.monotonic_s() - self._opened_at_s < self.rest_s

    @property
    def rest_left_s(self) -> float:
        """Seconds until the next trial; 0 when a call may be tried now."""
        if not self.is_open:
            return 0.0
        return self._opened_at_s + self.rest_s - self.clock.monotonic_s()

    def succeeded(self) -> None:
        """Close it: the peer answers again."""
        self._in_a_row = 0

    def failed(self) -> None:
        """Count a failure; the last one of a row opens it, and each failed trial opens it anew."""
        self._in_a_row += 1
        if self._in_a_row >= self.failures:
            self._opened_at_s = self.clock.monotonic_s()
