"""How a connection came about: told once, when it is certain that it stays."""

from voice_agent.providers.gemini.link import Link
from voice_agent.providers.gemini.memory import Memory
from voice_agent.providers.gemini.options import Outcome, OutcomeKind
from voice_agent.providers.gemini.sending import Sender
from voice_agent.providers.gemini.watching import START, Watch


class Report:
    """Of one connection. A first one without a story has nothing to tell."""

    def __init__(
        self, link: Link, *, memory: Memory, sender: Sender, watch: Watch, is_first: bool
    ) -> None:
        self._link = link
        self._memory = memory
        self._sender = sender
        self._watch = watch
        self._ready_at: float | None = None
        self._is_told = is_first and watch.cause == START
        self.summarised = False

    def outcome(self, now: float) -> Outcome | None:
        """Return it, once: the service knows everything, and has not refused it at once."""
        if self._is_told or self._sender.difference().items:
            return None
        if self._ready_at is None:
            self._ready_at = now
        is_fresh = now - self._link.connected_at < self._watch.limits.quiet_s
        if is_fresh and not self._link.is_healthy:  # a handle may be refused behind the setup
            return None
        self._is_told = True
        since = self._watch.away_since
        return Outcome(
            kind=self._kind(),
            cause=self._watch.cause,
            sent_count=self._sender.sent_count,
            tokens_spared=self._memory.tokens if self._link.resumed else 0,
            took_s=self._ready_at - since if since is not None else 0.0,
            summarised=self.summarised,
        )

    def _kind(self) -> OutcomeKind:
        if not self._link.resumed:
            return "reseeded"
        return "resynced" if self._sender.sent_count else "resumed"
