"""What each model of the Live API accepts: data, so that a new model is a new row.

Sources are in docs/gemini.md. A model that is not listed gets the defaults.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """Flags of one model on one of the two APIs."""

    late_content: bool = True
    """Client content after its first turn. Else: 1007; such a model is told by realtime text."""
    initial_history: bool = False
    """Wants ``history_config`` when a fresh session begins with history."""
    placeholder: bool = True
    """Replies only to a user's turn: "." stands for it (livekit-plugins-google 1.8.9)."""
    instructions_by: Literal["reconnect", "content", "update"] = "reconnect"
    """How a live session learns of new instructions: a switch, a system turn, a context update."""
    handle_valid_s: float = 2 * 3600.0 - 300.0
    """Two hours on the Gemini API (ai.google.dev, session management), less a margin."""


_DEFAULT = Accepts()
_BY_TAG = (
    ("3.8", Accepts(placeholder=False, instructions_by="update")),
    ("3.1", Accepts(placeholder=False)),
)
_EARLY_31 = Accepts(placeholder=False, late_content=False, initial_history=True)
_VERTEX = Accepts(instructions_by="content", handle_valid_s=24 * 3600.0 - 300.0)

INITIAL_HISTORY_ONLY = frozenset({"gemini-3.1-flash-live-preview-initial-history"})
"""Early 3.1 closed with 1007 (livekit/agents 5985); today's page says it no longer does."""


def accepts(model: str, *, vertexai: bool) -> Accepts:
    """Look up what a model accepts."""
    if model.removeprefix("models/") in INITIAL_HISTORY_ONLY:
        return _EARLY_31
    if vertexai:
        return _VERTEX
    return next((flags for tag, flags in _BY_TAG if tag in model), _DEFAULT)
