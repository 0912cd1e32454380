"""Which messages of the framework hold words that are recorded already.

A final transcript is recorded as a message at once (docs/adr/0012). The framework announces the
same words again later, joined to one item for the whole turn, or edited by a hook, or never.
Losing this book would double what was said; it is only needed while the call runs. Pure.
"""

from collections import deque

from voice_agent.domain.ids import TurnId

WAITING_MAX = 200
"""Pieces that no item carries are forgotten by the next item; these many when none ever comes."""


class Words:
    """What was recorded piece by piece, and not yet announced as an item."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[list[str], TurnId]] = deque(maxlen=WAITING_MAX)

    def recorded(self, text: str, turn_id: TurnId) -> None:
        """Note that the words of a final transcript are in the log."""
        self._waiting.append((text.split(), turn_id))

    def claim(self, text: str) -> TurnId | None:
        """Take out what an item with ``text`` repeats; say in which turn it was heard.

        None: nobody heard these words, and the item is their only record. Items come in the order
        of speech, so what was heard before the pieces of this one is in no item at all. A text
        that is not what was heard was edited on the way: it stands for the oldest turn that waits.
        """
        first, end = _run([words for words, _ in self._waiting], text.split())
        if end == first and self._waiting:
            oldest = self._waiting[0][1]
            end = sum(turn_id == oldest for _, turn_id in self._waiting)
        turn_id: TurnId | None = None
        for _ in range(end):
            turn_id = self._waiting.popleft()[1]
        return turn_id


def _run(pieces: list[list[str]], words: list[str]) -> tuple[int, int]:
    """Find the first run of ``pieces`` that is ``words``; an empty run if there is none."""
    for first in range(len(pieces)):
        heard: list[str] = []
        for end in range(first, len(pieces)):
            heard += pieces[end]
            if heard == words:
                return first, end + 1
            if len(heard) >= len(words):
                break
    return 0, 0
