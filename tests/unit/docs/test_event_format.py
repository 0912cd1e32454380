"""docs/events.md, the agent, the backend and the frozen corpus mean the same format."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from backend.errors import Malformed
from backend.rules import events as backend_events
from voice_agent.domain.events import KINDS

ROOT = Path(__file__).parents[3]
CORPUS = sorted((ROOT / "tests" / "corpus" / "events").glob("v1.*.json"))


def documented() -> dict[str, str]:
    """The fields that docs/events.md gives for each kind, as its text has them."""
    text = (ROOT / "docs" / "events.md").read_text()
    found: dict[str, str] = {}
    for match in re.finditer(r"`(\w+)` \{", text):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found[match[1]] = text[match.end() : end - 1]
    return found


def test_all_three_have_the_same_kinds() -> None:
    assert set(documented()) == set(KINDS) == set(backend_events.KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_that_the_agent_writes_is_documented(kind: str) -> None:
    words = set(re.findall(r"\w+", documented()[kind]))
    assert {each.name for each in fields(KINDS[kind])} - words == set()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_backend_takes_every_frozen_event(path: Path) -> None:
    event: dict[str, Any] = json.loads(path.read_bytes())
    if event["kind"] in backend_events.MADE_HERE:
        with pytest.raises(Malformed):
            backend_events.check_batch("c", "w", [event])
        return
    (taken,) = backend_events.check_batch("c", "w", [event])
    assert json.loads(taken.body) == event
