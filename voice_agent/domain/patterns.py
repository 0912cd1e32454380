"""How much of a conversation the model is shown, chosen by setting and by length (S1.15, S1.17)."""

from enum import Enum
from typing import Literal

PatternSetting = Literal["auto", "hybrid", "retrieval"]


class Pattern(Enum):
    """``HYBRID``: the newest messages and a summary. ``RETRIEVAL``: beside them, what a search of
    the conversation finds, and the model is told to search; for conversations that no window can
    stand for.
    """

    HYBRID = "hybrid"
    RETRIEVAL = "retrieval"


def pattern_of(setting: PatternSetting, *, turns: int, retrieval_above: int) -> Pattern:
    """Choose. ``turns``: the conversation's version, which counts its turns."""
    if setting == "auto":
        return Pattern.RETRIEVAL if turns > retrieval_above else Pattern.HYBRID
    return Pattern(setting)
