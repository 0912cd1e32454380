"""Words, as search understands them: the same for what is stored and for what is asked.

Accents and case do not matter; a character of a script without spaces is a word of its own.
There is no query language, so nothing that a person types can be wrong.
"""

import re
import unicodedata
from typing import Final

MAX_QUERY_WORDS: Final = 16
MAX_WORD: Final = 64
"""Longer ones are cut: nobody types them, and an index has its limits."""
_WORD: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_MARKS: Final = re.compile(r"[\u0300-\u036f]")
_NO_SPACES: Final = "\u0e00"


def words_of(text: str) -> list[str]:
    """Split a text into its words, in order."""
    plain = text.casefold()
    if not plain.isascii():
        plain = _MARKS.sub("", unicodedata.normalize("NFKD", plain))
    return [word[:MAX_WORD] for word in _WORD.findall(plain)]


def asked(query: str) -> tuple[str, ...]:
    """Take the words of a query, each once; the last may be the beginning of one."""
    return tuple(dict.fromkeys(words_of(query)))[:MAX_QUERY_WORDS]
