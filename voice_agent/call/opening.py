"""How a call begins: a greeting once per conversation, a brief after a long gap, else nothing."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from voice_agent.domain.events import Event, Message


class Opening(Enum):
    """What the agent says first."""

    GREET = "greet"
    BRIEF = "brief"
    SILENT = "silent"


def opening(history: Sequence[Event], *, now: datetime, brief_after_s: float) -> Opening:
    """Decide by what the conversation already holds and how long it rested (S1.26)."""
    said = [event for event in history if isinstance(event.body, Message)]
    if not said:
        return Opening.GREET
    gap_s = (now - said[-1].at).total_seconds()
    return Opening.BRIEF if gap_s > brief_after_s else Opening.SILENT
