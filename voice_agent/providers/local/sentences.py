"""Where a reply is cut for speaking. Pure.

A voice speaks a piece at a time: short pieces are heard soon, whole sentences sound right. So a
piece is a sentence, and only a sentence that nobody would wait for is cut at a comma.
"""

from __future__ import annotations

import re

PIECE_CHARS = 120  # about seven seconds of speech, a quarter of a second of work
_SHORTEST = 20  # a cut nearer to the start would sound chopped
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")


def pieces(text: str) -> list[str]:
    """Cut ``text`` into sentences, and long sentences at commas; in order, no word lost."""
    return [
        piece
        for sentence in _SENTENCE_END.split(text.strip())
        for piece in _parts(sentence)
        if piece
    ]


def _parts(sentence: str) -> list[str]:
    parts: list[str] = []
    rest = sentence.strip()
    while len(rest) > PIECE_CHARS:
        cut = max(rest.rfind(mark, _SHORTEST, PIECE_CHARS) for mark in (", ", "; ", ": "))
        if cut < 0:
            cut = rest.rfind(" ", _SHORTEST, PIECE_CHARS)
        if cut < 0:
            break  # one endless word: spoken as it is
        parts.append(rest[: cut + 1].strip())
        rest = rest[cut + 1 :].strip()
    return [*parts, rest]
