"""What the models of a call use up, by their providers' own reports.

A report says what was spent since the one before it, so that sums are right however often it is
delivered: it travels in an event, and an event is stored once. What a killed process had not
reported is lost: what was spent since the last turn ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST = 2**53 - 1
"""What JSON carries whole; a report above it, or of what is no number, is a provider's mistake."""
Counts = Mapping[str, float]
"""How much of what: the name ends in its unit (``_tokens``, ``_s``), or is a plain count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one model has used up. ``service``: llm, stt, tts, realtime ..., what it was used as."""

    service: str
    provider: str
    model: str
    counts: Counts = field(default_factory=dict)


class Spending:
    """What was spent and is in no event yet."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], dict[str, float]] = {}

    def add(self, usage: Usage) -> None:
        """Take what a provider reports of one request."""
        counts = self._counts.setdefault((usage.service, usage.provider, usage.model), {})
        for name, value in usage.counts.items():
            if 0 < value <= MOST:
                counts[name] = round(counts.get(name, 0) + value, 6)

    def take(self) -> tuple[Usage, ...] | None:
        """Return what was spent since this was last called; None: nothing."""
        spent, self._counts = self._counts, {}
        return (
            tuple(
                Usage(service=service, provider=provider, model=model, counts=counts)
                for (service, provider, model), counts in spent.items()
                if counts
            )
            or None
        )
