"""What a call needs of others."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from voice_agent.domain.events import Event
from voice_agent.domain.ids import ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignals:
    """What a running call learns late. Called on the event loop; they return at once.

    ``bound``: the conversation's id is known for good. ``history``: what it already held, when it
    could not be read at the start. ``cleared``: a new session began: stop what is being said and
    show the model nothing of before; within a second. Its argument: the reply that is being made
    asked for it and goes on. False: not done, to be asked again.
    """

    bound: Callable[[ConversationId], None]
    history: Callable[[Sequence[Event]], None]
    cleared: Callable[[bool], Awaitable[bool]]


class CallObserver(Protocol):
    """Who counts what happens in a call (telemetry)."""

    def recorded(self, event: Event) -> None: ...
    def degraded(self, layer: str, *, on: bool) -> None: ...
    def hydrated(self, source: str, duration_s: float) -> None: ...
    def secured(self, waited_s: float, *, in_time: bool) -> None: ...
