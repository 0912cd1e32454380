"""When a connection that lives is left: between turns for what can wait, at once for what cannot.

A switch costs the caller nothing then: the next connection resumes the session, or is told anew
what the service has wrong.
"""

from voice_agent.providers.gemini.link import Link
from voice_agent.providers.gemini.memory import Memory
from voice_agent.providers.gemini.replies import Replies
from voice_agent.providers.gemini.sending import Sender
from voice_agent.providers.gemini.watching import Watch


class Switch:
    """Decides for one session."""

    def __init__(self, *, memory: Memory, sender: Sender, replies: Replies, watch: Watch) -> None:
        self._memory = memory
        self._sender = sender
        self._replies = replies
        self._watch = watch
        self._config = 0
        self._config_used = 0

    def configured(self) -> None:
        """Instructions or tools are others from now on."""
        self._config += 1

    def connecting(self) -> None:
        """The setup that is being made has the newest configuration."""
        self._config_used = self._config

    def is_due(self, now: float, link: Link) -> bool:
        """Whether to leave this connection at this moment; its cause is noted."""
        if self._watch.settle(now, link.heard_at):
            self._memory.generation_ended()
        reason = self._reason(now)
        if reason is None:
            return False
        if not self._watch.must_leave(now) and not self._is_quiet(now, link, reason):
            return False
        self._watch.cause = reason
        if reason in {"forgot", "mute"}:
            self._memory.give_up_handle()
        return True

    def _reason(self, now: float) -> str | None:
        if (reason := self._watch.reason(now)) is not None:
            return reason
        if self._config != self._config_used:
            return "configuration"
        return self._sender.difference().rebuild

    def _is_quiet(self, now: float, link: Link, reason: str) -> bool:
        if reason == "mute":
            return True
        # what must be told anew cannot be sent here: only tools that still run are waited for
        anew = self._sender.difference().rebuild is not None
        waits = self._memory.has_running_calls if anew else bool(self._memory.open_calls)
        return (
            not self._memory.is_generating
            and not waits
            and not self._replies.is_awaited
            and self._replies.due == "none"
            and (now - link.heard_at >= self._watch.limits.quiet_s or not link.is_healthy)
        )
