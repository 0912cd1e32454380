"""What a caller of this package chooses, and what it is told."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

OutcomeKind = Literal["resumed", "resynced", "reseeded", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a reconnect ended.

    ``resumed``: the handle was enough; ``resynced``: and ``sent_count`` items that it did not cover
    were sent; ``reseeded``: a fresh session was told the conversation; ``failed``: given up.
    """

    kind: OutcomeKind
    cause: str
    sent_count: int = 0
    tokens_spared: int = 0
    """Tokens that a replay of the whole conversation would have cost."""
    took_s: float = 0.0
    summarised: bool = False


class Handles(Protocol):
    """Where the newest resumption handle of a conversation is kept for its next process."""

    async def save(self, payload: bytes, ttl_s: float) -> None:
        """Keep ``payload`` in the place of the one before."""
        ...

    async def take(self) -> bytes | None:
        """Return what was kept and forget it: no two processes may use one handle."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers of the reconnect. Seconds, unless they say otherwise."""

    give_up_s: float = 30.0
    """From the loss to an honest error (issue 8)."""
    set_up_s: float = 5.0
    """One connect with its setup; the service answers in well under 1 s."""
    backoff_s: float = 0.1
    backoff_cap_s: float = 2.0
    quiet_s: float = 0.2
    """After a turn the fresh handle needs this long to arrive (facts: 0.2 s)."""
    reply_s: float = 10.0
    """Longest wait for a reply that was asked for on a live connection."""
    silent_resume_s: float = 8.0
    """A resumed session that hears and does not answer for so long has lost its mind."""
    settled_s: float = 2.0
    """A connection that lived so long has ended the loss before it: the next has a budget anew."""
    steady_s: float = 30.0
    """A connection that lived so long forgives a context that was full before it."""
    away_audio_s: float = 10.0
    """Sound kept while nobody is connected; the oldest goes first."""
    seed_most_chars: int = 200_000
    """A fresh session is told at most this much (some 50,000 tokens), the newest."""
    short_seed_most_chars: int = 8_000
    """After that was refused: this much, and a summary in front."""
    forgot_below: float = 0.5
    """A resumed prompt smaller than this share of the last one has forgotten it."""
    summarise_s: float = 5.0
    """Longest wait for a summary; without one the oldest part is left out."""
    handles_s: float = 1.0
    """Longest wait for the store of handles."""


Summarise = Callable[[Sequence[str]], Awaitable[str]]
"""Makes a summary of lines ("user: ...") that no longer fit."""


async def no_summary(_: Sequence[str]) -> str:
    """Leave out what does not fit."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the sessions of a model are given beside the plugin's own arguments."""

    limits: Limits = field(default_factory=Limits)
    handles: Handles | None = None
    summarise: Summarise = no_summary
    on_outcome: Callable[[Outcome], None] = lambda _: None
    on_failed: Callable[[Exception], bool] = lambda _: False
    """Asked before an error becomes final: True = somebody else takes the call over."""
