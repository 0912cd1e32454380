"""Whether a pause is likely to be the end. Pure; English.

A recogniser ends whatever it hears with a full stop, so the words decide: "My name is." or "What
time is it in." wants more, "What time is it?" does not. When in doubt the words count as
complete: a wrong "incomplete" costs every caller half a second of silence, a wrong "complete"
costs one sentence that is answered in two parts.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z'’]+|\d+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# No English sentence ends on one of these, save in a few questions ("where are you from").
_DANGLING = _set(
    "a an the my your his its our their this these those"
    " is am are was were be been being isn't i'm you're we're they're it's there's"
    " and or but so because if when while although that which who whose than as"
    " of in at from with into onto between during without by for to about like near"
    " i we they he she i'd i'll i've you've we've"
    " want wants need needs please very um uh er hmm can could would should will may might"
)
_QUESTION = _set("who what where when why how which whose am is are was were do does did")
_ENDS_A_QUESTION = _set("is are was were am in at from with about for to by i we they he she")
_OPENING = _set(
    "at in on for from with during after before when if while because since although and but"
)
_ASKS = _QUESTION | _set("can could would will shall should may have has")
_SHORTEST_QUESTION = 3  # "who are you", "what is that": shorter ones are often taken up again
_OPENING_WORDS = 4  # "at the moment", "in the evening": an opening without its sentence


def is_complete(text: str) -> bool:
    """Whether ``text``, as recognised, can stand as a whole utterance."""
    if text.rstrip().endswith((",", "…", "...", "-", "—", ":", ";")):
        return False
    words = _WORD.findall(text.lower().replace("’", "'"))
    if not words:
        return True
    last_sentence = _WORD.findall(re.split(r"[.!?]\s+", text.lower().strip())[-1])
    if last_sentence and last_sentence[0] in _OPENING and len(last_sentence) <= _OPENING_WORDS:
        return False
    if last_sentence[-1:] and last_sentence[-1] in _DANGLING:
        # "where are you from", "what is it for": such questions do end on these words
        asks = text.rstrip().endswith("?") and last_sentence[0] in _QUESTION
        return asks and last_sentence[-1] in _ENDS_A_QUESTION and len(last_sentence) <= 4
    return True


def hands_over(text: str) -> bool:
    """Whether ``text`` is a question that stands alone: nobody pauses for thought after one.

    After a statement people do ("My name is Ada Lovelace ... and I live in Lisbon"), so it is given
    time for it (``Pacing.likely_s``).
    """
    last_sentence = re.split(r"[.!?,]\s+", text.lower().strip())[-1]
    words = _WORD.findall(last_sentence.replace("’", "'"))
    asks = last_sentence.endswith("?") and len(words) >= _SHORTEST_QUESTION and words[0] in _ASKS
    return asks and is_complete(text)
