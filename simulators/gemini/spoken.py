"""Words as sound and back, without a recogniser: PCM of 16 kHz that carries its text.

A chunk of 50 ms (800 samples) says one word: a mark, a flag for the end of the utterance, then the
text. Chunks keep their borders on the way, because google's plugin sends chunks of this length.
"""

import struct

CHUNK_BYTES = 1600
_MARK = b"\x7fTL\x7f"
_HEAD = struct.Struct("<4sBH")


def speak(text: str) -> list[bytes]:
    """Say words, a chunk each; the last one ends the utterance."""
    words = text.split()
    return [_chunk(word, last=n == len(words) - 1) for n, word in enumerate(words)]


def silence() -> bytes:
    """Fifty milliseconds of nothing."""
    return bytes(CHUNK_BYTES)


def heard(pcm: bytes) -> list[tuple[str, bool]]:
    """Find the words in some sound: (word, whether it ends the utterance)."""
    found: list[tuple[str, bool]] = []
    for start in range(0, len(pcm) - _HEAD.size, CHUNK_BYTES):
        mark, last, length = _HEAD.unpack_from(pcm, start)
        if mark == _MARK:
            word = pcm[start + _HEAD.size : start + _HEAD.size + length].decode()
            found.append((word, bool(last)))
    return found


def _chunk(word: str, *, last: bool) -> bytes:
    text = word.encode()
    return (_HEAD.pack(_MARK, last, len(text)) + text).ljust(CHUNK_BYTES, b"\0")
