"""What a session keeps an eye on while it is connected: turns, forgetting, silence, the way out."""

from dataclasses import dataclass, field

from voice_agent.providers.gemini.options import Limits

FORGET_FROM_TOKENS = 40
"""Smaller prompts than this say nothing."""
LEAVE_MARGIN_S = 1.0
"""Before the service closes by itself; or a fifth of what is left, if that is less."""

ANSWERS_S = 0.3
"""An utterance ends with a pause of more than this before it is answered."""

START = "start"
"""The cause of a first connection: nothing was lost."""


@dataclass(slots=True)
class Watch:
    """One for the session; ``connected`` begins it anew."""

    limits: Limits
    cause: str = START
    away_since: float | None = None
    has_output: bool = False
    transcribed_at: float = 0.0
    """When the service last showed that it hears."""
    was_asked: bool = False
    """Whether the running generation answers a request, and not the caller's voice."""
    _verify_against: int = 0
    _forgot: bool = False
    _leave_by: float | None = None
    _going: bool = False
    _handle_due: bool = False
    _heard_at: float | None = None
    _resumed: bool = field(default=False)

    def connected(self, *, resumed: bool, tokens: int) -> None:
        """A connection begins."""
        self._resumed = resumed
        self._verify_against = tokens if resumed else 0
        self._forgot = self._going = self._handle_due = self.has_output = False
        self._leave_by = self._heard_at = None

    def counted(self, tokens: int) -> bool:
        """The service said how large its prompt is; says whether it has forgotten: it was resumed,
        and the prompt collapsed."""
        before, self._verify_against = self._verify_against, 0
        if before >= FORGET_FROM_TOKENS and tokens < before * self.limits.forgot_below:
            self._forgot = True
        return self._forgot

    @property
    def is_sent_away(self) -> bool:
        """Whether the service said that it will close."""
        return self._going

    def generation_began(self, now: float, *, was_asked: bool) -> None:
        """It hears or speaks."""
        self.was_asked = was_asked
        self.has_output = self._handle_due = False
        self._heard_at = now

    def acted_on_until(self, now: float) -> float:
        """Which sound the running generation answers: what was sent until then."""
        return self.transcribed_at if self.was_asked else max(self.transcribed_at, now - ANSWERS_S)

    def turn_over(self, *, handle_due: bool) -> None:
        """A turn is over; its handle is still to come."""
        self._handle_due = handle_due
        self._heard_at = None
        self._resumed = False

    def handle_came(self) -> bool:
        """A handle is there; says whether it is that of a turn that is over."""
        due, self._handle_due = self._handle_due, False
        return due

    def settle(self, now: float, heard_at: float) -> bool:
        """Stop waiting for a handle that does not come; says whether this is the moment."""
        if self._handle_due and now - heard_at >= self.limits.quiet_s:
            self._handle_due = False
            return True
        return False

    def leave_by(self, now: float, left_s: float) -> None:
        """The service will close in ``left_s``."""
        self._going = True
        self._leave_by = now + left_s - min(LEAVE_MARGIN_S, left_s / 5)

    def must_leave(self, now: float) -> bool:
        """Whether it cannot wait for a pause any more."""
        return self._leave_by is not None and now >= self._leave_by

    def reason(self, now: float) -> str | None:
        """Why this connection should be left."""
        if self._forgot:
            return "forgot"
        if self._is_mute(now):
            return "mute"
        return "go away" if self._going else None

    def _is_mute(self, now: float) -> bool:
        return (
            self._resumed
            and not self.has_output
            and self._heard_at is not None
            and now - self._heard_at >= self.limits.silent_resume_s
        )

    def due_s(self, now: float, heard_at: float) -> float | None:
        """When to look again, if nothing happens."""
        instants = [heard_at + self.limits.quiet_s]
        if instants[0] <= now:
            instants.clear()
        if self._leave_by is not None:
            instants.append(self._leave_by)
        if self._resumed and self._heard_at is not None and not self.has_output:
            instants.append(self._heard_at + self.limits.silent_resume_s)
        return max(0.005, min(instants) - now) if instants else None
