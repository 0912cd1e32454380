"""Who the agent is: texts from a file, with variables that were made harmless first."""

import re
from dataclasses import dataclass

NAME_MAX = 60
_HARMFUL = re.compile(r"[^\w '.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """The texts of config/agent.toml. ``farewell`` and ``trouble`` are spoken as they stand."""

    name: str
    instructions: str
    greeting: str
    resume: str
    farewell: str
    trouble: str

    def instructions_for(self, caller: str | None) -> str:
        """The instructions of one call. A caller's name is data, not words of the prompt."""
        known = harmless(caller) if caller else ""
        return self.instructions.format(agent=self.name, caller=known or "the caller").strip()


def harmless(text: str) -> str:
    """Keep what a name is made of: letters, digits, spaces and '.- (S1.2)."""
    return " ".join(_HARMFUL.sub(" ", text).split())[:NAME_MAX]
