"""What the service remembers of one session."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "model", "tool"]

_TOLD_OF_TOOL = re.compile(r"^tool (?P<call>\w+\(.*?\)) (?:returned|failed): (?P<output>.*)$", re.S)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said or done. Of a tool: ``NAME(ARGUMENTS) = OUTPUT``."""

    role: Role
    text: str
    trigger: bool = False
    """It only asked for a reply: no part of what was said."""


@dataclass(slots=True)
class Conversation:
    """Lines in order, and the tool calls that wait for their response."""

    lines: list[Line] = field(default_factory=list)
    open_calls: dict[str, str] = field(default_factory=dict)
    model_turns: int = 0

    def copy(self) -> "Conversation":
        """Freeze it, for a handle."""
        return Conversation(list(self.lines), dict(self.open_calls), self.model_turns)

    def told(self, role: Role, text: str, *, trigger: bool = False) -> None:
        """Remember a line; a tool's outcome told in words counts like one that was sent."""
        found = _TOLD_OF_TOOL.match(text)
        if role == "user" and found:
            self.lines.append(Line("tool", f"{found['call']} = {found['output']}"))
        elif text:
            self.lines.append(Line(role, text, trigger))

    def called(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        """Remember that the model called a tool and waits."""
        given = ", ".join(f"{key}={value}" for key, value in sorted(arguments.items()))
        self.open_calls[call_id] = f"{name}({given})"

    def returned(self, call_id: str, output: str) -> bool:
        """Take a tool's response; False for a call that this session never made."""
        call = self.open_calls.pop(call_id, None)
        if call is None:
            return False
        self.lines.append(Line("tool", f"{call} = {output}"))
        return True

    def cancelled(self) -> list[str]:
        """Give up the calls that wait; return their ids."""
        ids = list(self.open_calls)
        self.open_calls.clear()
        return ids

    @property
    def said(self) -> list[tuple[str, str]]:
        """Everything but what only asked for a reply, for a test to compare."""
        return [(line.role, line.text) for line in self.lines if not line.trigger]

    @property
    def tokens(self) -> int:
        """Stands for the service's count: words, and a few for each line."""
        return sum(4 + len(line.text.split()) for line in self.lines)
