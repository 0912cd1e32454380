"""Whether what callers said is in the backend: exactly once, in order, nothing invented.

Works from what callers said and what they were shown of it, never from the product's own books.
Every utterance has a token of its own. What was shown (its transcript, its answer) must be stored
exactly once and in the order it was said; what was not shown may be stored once or not at all: the
caller has repeated it with another token.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Stored = Mapping[str, Any]
"""An event or message as the backend's API returns it."""
Spoken = tuple[str, str]
"""A token and the role it was stored under."""


class Fault(StrEnum):
    """What may not happen."""

    LOST = "lost"  # shown to the caller, and not in the backend
    DOUBLED = "doubled"
    OUT_OF_ORDER = "out of order"
    INVENTED = "invented"  # stored, and nobody said it
    MISSING = "missing"  # an ordinal that was recorded is not in the backend, or is said to miss
    NOT_ENDED = "not ended"  # a dead process without exactly one call_ended, or an open turn
    STUCK = "stuck"  # a process that lives showed nothing for too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One promise that was broken, and where."""

    fault: Fault
    conversation: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Said:
    """One utterance. ``heard`` and ``answered``: the ordinals that were shown, if they were."""

    token: str
    writer_id: str
    heard: int | None = None
    answered: int | None = None


@dataclass(slots=True, kw_only=True)
class Book:
    """What one caller did in one conversation, over any number of processes."""

    key: str
    conversation_id: str | None = None
    said: list[Said] = field(default_factory=list)
    writers: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def note(self, fault: Fault, detail: str) -> None:
        """Keep what the caller met."""
        self.violations.append(Violation(fault=fault, conversation=self.key, detail=detail))

    @property
    def shown(self) -> list[Spoken]:
        """What the caller was shown, in the order it was said."""
        return [
            (one.token, role)
            for one in self.said
            for role, ordinal in (("user", one.heard), ("assistant", one.answered))
            if ordinal is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the backend has: messages in conversation order, events by position."""

    conversation: Stored
    messages: Sequence[Stored]
    events: Sequence[Stored]


def check(book: Book, kept: Kept) -> list[Violation]:
    """Compare; every broken promise is one violation."""
    found = Book(key=book.key, violations=list(book.violations))
    stored = [(str(m["text"]), str(m["role"])) for m in kept.messages]
    _check_once(book, stored, found)
    _check_order(book, stored, found)
    _check_ordinals(book, kept, found)
    _check_ends(book, kept.events, found)
    return found.violations


def _check_once(book: Book, stored: Sequence[Spoken], found: Book) -> None:
    count = Counter(stored)
    for token, role in book.shown:
        if not count[token, role]:
            found.note(Fault.LOST, f"{role} {token}")
    said = {one.token for one in book.said}
    for (token, role), times in count.items():
        if times > 1:
            found.note(Fault.DOUBLED, f"{role} {token}: {times} times")
        if token not in said:
            found.note(Fault.INVENTED, f"{role} {token}")


def _check_order(book: Book, stored: Sequence[Spoken], found: Book) -> None:
    places: dict[Spoken, int] = {}
    for one in book.said:
        for role in ("user", "assistant"):
            places[one.token, role] = len(places)
    latest: Spoken | None = None
    for spoken in stored:
        if spoken not in places:
            continue
        if latest is not None and places[spoken] < places[latest]:
            found.note(Fault.OUT_OF_ORDER, f"{spoken[1]} {spoken[0]} after {latest[1]} {latest[0]}")
        else:
            latest = spoken


def _check_ordinals(book: Book, kept: Kept, found: Book) -> None:
    """Everything recorded up to what was shown is there: ``record()`` had returned for all."""
    held: dict[str, set[int]] = {}
    for event in kept.events:
        if event.get("ordinal") is not None:
            held.setdefault(str(event["writer_id"]), set()).add(int(event["ordinal"]))
    for writer_id, highest in _highest_shown(book.said).items():
        absent = set(range(1, highest + 1)) - held.get(writer_id, set())
        if absent:
            found.note(Fault.MISSING, f"writer {writer_id}: {_runs(absent)} of {highest}")
    for gap in kept.conversation.get("missing", ()):
        found.note(Fault.MISSING, f"the backend says: {gap}")
    for event in kept.events:
        if event["kind"] == "lost":
            found.note(Fault.MISSING, f"lost event: {event.get('reason')}")


def _highest_shown(said: Iterable[Said]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for one in said:
        for ordinal in (one.heard, one.answered):
            if ordinal is not None:
                highest[one.writer_id] = max(highest.get(one.writer_id, 0), ordinal)
    return highest


def _check_ends(book: Book, events: Sequence[Stored], found: Book) -> None:
    ends = Counter(str(e["writer_id"]) for e in events if e["kind"] == "call_ended")
    for writer_id in book.writers:
        if ends[writer_id] != 1:
            found.note(Fault.NOT_ENDED, f"writer {writer_id}: {ends[writer_id]} call_ended")
    started = Counter(str(e["turn_id"]) for e in events if e["kind"] == "turn_started")
    ended = Counter(str(e["turn_id"]) for e in events if e["kind"] == "turn_ended")
    for turn_id in started.keys() | ended.keys():
        if started[turn_id] != 1 or ended[turn_id] != 1:
            found.note(
                Fault.NOT_ENDED,
                f"turn {turn_id}: {started[turn_id]} starts, {ended[turn_id]} ends",
            )


def _runs(numbers: set[int]) -> str:
    """Numbers as a person reads them: 3, 7-9."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
