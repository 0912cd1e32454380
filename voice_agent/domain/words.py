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
        that nobody heard was edited on the way, if anything waits: it takes one piece, so that
        whatever later items may repeat is still there.
        """
        end = _end_of_run([words for words, _ in self._waiting], text.split())
        turn_id: TurnId | None = None
        for _ in range(end or min(1, len(self._waiting))):
            turn_id = self._waiting.popleft()[1]
        return turn_id


def _end_of_run(pieces: list[list[str]], words: list[str]) -> int:
    """Where the first run of ``pieces`` ends that is ``words``; 0 if there is none."""
    for first in range(len(pieces)):
        heard: list[str] = []
        for end in range(first, len(pieces)):
            heard += pieces[end]
            if heard == words:
                return end + 1
            if len(heard) >= len(words):
                break
    return 0
