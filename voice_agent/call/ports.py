"""What a call needs of others."""

from typing import Protocol

from voice_agent.domain.events import Event


class CallObserver(Protocol):
    """Who counts what happens in a call (telemetry)."""

    def recorded(self, event: Event) -> None: ...
    def degraded(self, layer: str, *, on: bool) -> None: ...
    def hydrated(self, source: str, duration_s: float) -> None: ...
