"""What goes wrong, and when: a test writes it down before, or in the middle of a call."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The next connections are closed with this code.

    ``before_setup`` is where the service refuses a handle, ``after_setup`` is right behind
    ``setupComplete``.
    """

    code: int
    reason: str = "refused"
    at: Literal["before_setup", "after_setup"] = "before_setup"
    with_handle_only: bool = True
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The connection is cut without a word at the n-th message (1, 2, ...), sent or received.

    ``on``: at the next one that has such a field, instead. ``lost``: the message itself goes
    missing; else it still arrives.
    """

    at: int = 0
    on: str | None = None
    lost: bool = True

    def meets(self, number: int, message: object) -> bool:
        """Whether this is the message."""
        return number == self.at if self.on is None else f"'{self.on}'" in str(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    """Behind the n-th message the service says that it will close, and does so in time."""

    at: int
    left_s: float


@dataclass(slots=True)
class Behaviour:
    """Everything that can be told to go wrong. Seconds are real time."""

    setup_s: float = 0.0
    silent_setups: int = 0
    """So many connections are accepted and never hear ``setupComplete``."""
    unreachable: int = 0
    """So many connections are cut before the WebSocket's handshake is answered."""
    refusals: list[Refusal] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    go_aways: list[GoAway] = field(default_factory=list)
    goes_away_at_once: bool = False
    """Each connection is told behind ``setupComplete`` to leave now."""
    endpoint_s: float = 0.0
    """Silence after which an utterance is over: only then is it remembered, and answered."""
    piece_s: float = 0.0
    """Pause between the pieces of a reply."""
    handles: bool = True
    handle_before_turn_complete: bool = False
    handle_when_told: bool = False
    """A handle also follows content that asks for no reply."""
    handle_after_transcript: bool = False
    """A handle comes between the caller's words and the reply to them."""
    expired: bool = False
    """No handle is accepted any more (1007)."""
    forgets: int = 0
    """So many resumes are accepted and restore nothing."""
    content_at_first_only: bool = False
    """Client content after the first reply is answered with 1007."""
    cancels_calls: bool = False
    """Tool calls that wait are cancelled when the caller speaks."""
    closes_after_setup: int | None = None
    """Every connection is closed with this code behind ``setupComplete`` and one more message."""
    most_tokens: int | None = None
    """More than this: 1007, as for an exhausted context."""
    mute_after_resume: int = 0
    """So many resumed sessions transcribe and never answer."""

    def refusal(self, *, with_handle: bool, at: str) -> Refusal | None:
        """Take the refusal that fits a connection, if there is one."""
        for n, one in enumerate(self.refusals):
            if one.at == at and (with_handle or not one.with_handle_only):
                if one.times > 1:
                    self.refusals[n] = Refusal(
                        code=one.code, reason=one.reason, at=one.at,
                        with_handle_only=one.with_handle_only, times=one.times - 1,
                    )  # fmt: skip
                else:
                    del self.refusals[n]
                return one
        return None
