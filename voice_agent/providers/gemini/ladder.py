"""What to try after a failure: resume, a fresh session with the history, one with a short history
and a summary, an honest error. Pure: instants are arguments.

A rung is left when the service refuses it; a network that fails keeps it. Whatever happens, the
ladder ends ``give_up_s`` after the connection was lost.
"""

from dataclasses import dataclass
from enum import IntEnum

from voice_agent.aio.backoff import Backoff

CONTEXT = 1007
"""Invalid argument: a refused handle, a message it cannot take, or a context that is full."""
REFUSALS = frozenset({CONTEXT, 1008})
"""1008: not found, or against a policy. The same request will be refused again."""
UNAVAILABLE = 1011
"""Also the answer to handles that cannot be resumed: twice is enough."""
NO_ACCESS = frozenset({400, 401, 403, 404})
"""Statuses of the HTTP upgrade: a wrong key, model or address."""
STRIKES_MAX = 2
NETWORK = frozenset({None, 1006})
"""Nobody closed it: the session itself may be well."""
AT_ONCE_MAX = 3
"""After so many losses in a row each next attempt waits a little."""


class Rung(IntEnum):
    """How a session is begun."""

    RESUME = 0
    FRESH = 1
    SHORT = 2
    FAILED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a connection, or the attempt at one, ended."""

    rung: Rung
    code: int | None = None
    was_healthy: bool = False
    """It delivered something after its setup, or lived for a while."""
    silent: bool = False
    """The setup was not answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to do now."""

    rung: Rung
    delay_s: float


class Ladder:
    """Goes down for one session."""

    def __init__(
        self, *, give_up_s: float, settled_s: float, steady_s: float, backoff: Backoff
    ) -> None:
        self._give_up_s = give_up_s
        self._settled_s = min(settled_s, give_up_s / 2)
        self._steady_s = steady_s
        self._backoff = backoff
        self._attempt = 0
        self._strikes = 0
        self._exhausted = 0
        self._ever_connected = False
        self.rung = Rung.RESUME
        """The first that has not been refused."""
        self.lost_at: float | None = None
        """When the loss began that no connection has ended since."""

    def away(self, now: float) -> None:
        """Nobody is connected from now on; the budget runs."""
        if self.lost_at is None:
            self.lost_at = now

    def lived(self, lived_s: float) -> None:
        """A connection has come to its end. One of a moment does not end the loss before it: a
        service that accepts and closes again and again is given up like one that refuses."""
        self._ever_connected = True
        if lived_s >= self._settled_s:
            self.lost_at = None
            self._attempt = self._strikes = 0
        if lived_s >= self._steady_s:
            self._exhausted = 0

    def renewed(self) -> None:
        """A handle of the new session is there: it may be resumed again."""
        self.rung = Rung.RESUME

    def lost(self, loss: Loss, now: float) -> Next:
        """Decide after a loss."""
        self.away(now)
        if loss.code in NO_ACCESS and not self._ever_connected:
            self.rung = Rung.FAILED
        elif loss.was_healthy:
            self._lost_in_mid_call(loss)
        elif loss.code in REFUSALS:
            self.rung = Rung(loss.rung + 1)
        elif loss.silent or loss.code == UNAVAILABLE:
            # weary or overloaded: a fresh session is worth a try, a shorter one is not
            self._strikes += 1
            if self._strikes >= STRIKES_MAX:
                self.rung = max(self.rung, Rung.FRESH)
        return self._next(now, at_once=loss.was_healthy and self._attempt < AT_ONCE_MAX)

    def _lost_in_mid_call(self, loss: Loss) -> None:
        """1007 of a healthy session is one message, or the whole context: resume, then go down."""
        if loss.code == CONTEXT:
            self.rung = Rung(min(self._exhausted, Rung.FAILED))
            self._exhausted += 1
        elif loss.code not in NETWORK and self._attempt >= AT_ONCE_MAX:
            self.rung = max(self.rung, Rung.FRESH)

    def _next(self, now: float, *, at_once: bool) -> Next:
        assert self.lost_at is not None
        delay_s = 0.0 if at_once else self._backoff.delay_s(self._attempt)
        self._attempt += 1
        if now + delay_s - self.lost_at >= self._give_up_s:
            self.rung = Rung.FAILED
        return Next(rung=self.rung, delay_s=delay_s)

    def left_s(self, now: float) -> float:
        """Seconds of the budget that are left."""
        return self._give_up_s - (now - self.lost_at) if self.lost_at is not None else 0.0
