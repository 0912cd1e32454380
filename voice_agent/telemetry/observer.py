"""What happens in a call, as figures (``call.ports.CallObserver``)."""

from voice_agent.domain.events import ErrorReported, Event, TurnEnded
from voice_agent.telemetry.metrics import JobMetrics


class MetricsObserver:
    """Turns recorded events into figures."""

    def __init__(self, metrics: JobMetrics) -> None:
        self._metrics = metrics

    def recorded(self, event: Event) -> None:
        """Count an event; a turn's end carries its delays."""
        self._metrics.observe("voice_events_recorded", event.kind)
        match event.body:
            case TurnEnded(outcome=outcome, delays=delays):
                self._metrics.observe("voice_turns", outcome)
                for stage, delay_s in delays.items():
                    name = stage.removesuffix("_s")
                    self._metrics.observe("voice_turn_delay_seconds", name, value=delay_s)
            case ErrorReported(source=source, recoverable=recoverable):
                self._metrics.observe("voice_errors", source, str(recoverable).lower())
            case _:
                pass

    def degraded(self, layer: str, *, on: bool) -> None:
        """Count a call that begins to go without a layer."""
        if on:
            self._metrics.observe("voice_degraded", layer)

    def secured(self, waited_s: float, *, in_time: bool) -> None:
        """Note how long a reply waited for its durability, and whether that was reached."""
        outcome = "in_time" if in_time else "late"
        self._metrics.observe("voice_reply_secured_seconds", outcome, value=waited_s)

    def hydrated(self, source: str, duration_s: float) -> None:
        """Note how long reading back took, and from where."""
        self._metrics.observe("voice_hydrate_seconds", source, value=duration_s)
