"""What is known of the person who calls: untrusted context from outside, facts from a profile.

Everything here is data for the prompt, never words of it: names and values are cut to what cannot
be an instruction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from voice_agent.domain.errors import RequestRefused
from voice_agent.domain.ids import Identity

Fact = str | int | float | bool

FACTS_MAX = 20
TEXT_MAX = 120
NOT_FOUND = 404
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_HARMFUL = re.compile(r"[^\w '.,@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person: who they say they are, and facts about them."""

    identity: Identity
    name: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def with_facts(self, more: Mapping[str, Fact]) -> "Person":
        """The same person, known better; what is known already is replaced."""
        return Person(identity=self.identity, name=self.name, facts={**self.facts, **more})


class Profiles(Protocol):
    """What is kept about people between calls."""

    async def facts_of(self, identity: Identity) -> Mapping[str, Fact]:
        """The facts about one person; none is no error."""
        ...


class ProfileStore(Protocol):
    """Where profiles are kept: the backend."""

    async def get_profile(self, identity: Identity) -> Mapping[str, Any]:
        """Read ``{"context": {}, "preferences": {}}`` of a person; refused with 404: unknown."""
        ...


class KeptProfiles:
    """What the backend keeps. Read only: who calls cannot write about themselves for good."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store

    async def facts_of(self, identity: Identity) -> Mapping[str, Fact]:
        """The facts about one person; nobody has heard of most."""
        try:
            return facts_in(await self._store.get_profile(identity))
        except RequestRefused as exc:
            if exc.status == NOT_FOUND:
                return {}
            raise


class NoProfiles:
    """Memory-only mode: nothing is kept."""

    async def facts_of(self, identity: Identity) -> Mapping[str, Fact]:
        """Nothing is known of anybody."""
        return {}


def facts_in(fields: Mapping[str, Any]) -> dict[str, Fact]:
    """Take the facts out of ``{"context": {}, "preferences": {}}``; whatever is no plain fact stays
    behind: nested values, odd names, more than ``FACTS_MAX``.
    """
    found: dict[str, Fact] = {}
    for part in ("context", "preferences"):
        values = fields.get(part)
        if not isinstance(values, dict):
            continue
        for key, value in values.items():
            if len(found) < FACTS_MAX and _KEY.fullmatch(str(key)):
                fact = _fact(value)
                if fact is not None:
                    found[key] = fact
    return found


def _fact(value: object) -> Fact | None:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return harmless(value, most=TEXT_MAX)
    return None


def harmless(text: str, *, most: int) -> str:
    """Keep letters, digits, spaces and a little punctuation: a value, not a sentence to obey."""
    return " ".join(_HARMFUL.sub(" ", text).split())[:most]


def spoken_of(facts: Mapping[str, Fact]) -> str:
    """Write facts as one line for a prompt."""
    return "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in facts.items())
