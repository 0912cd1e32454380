"""The backend against a small model of the log: fences, ordinals, order, versions, sessions.

What hypothesis does in any order (register, claim, send, send again, clear, end) the model does in
ten lines each; then both must show the same conversation.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.backend.log_client import Json, Log, event, fresh, message, ok, refused
from tests.backend.process import Backend

START_MS = 1_795_233_600_000
COUNTED = {"completed", "interrupted", "abandoned"}
OUTCOMES = st.sampled_from(["completed", "interrupted", "abandoned", "empty"])
ROLES = st.sampled_from(["user", "assistant"])


def instant(ms: int) -> str:
    """Write unix ms as the API does."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


@dataclass
class Written:
    """What the model knows of one writer."""

    fence: int
    made: list[Json] = field(default_factory=list)
    arrived: dict[int, Json] = field(default_factory=dict)
    ended_turns: set[str] = field(default_factory=set)


class LogMachine(RuleBasedStateMachine):
    """One conversation, on both sides."""

    http: httpx.Client

    def __init__(self) -> None:
        super().__init__()
        self.log = Log.resolve(self.http, fresh("model"))
        self.writers: dict[str, Written] = {}
        self.session = 0
        self.version = 0
        self.stored = 0

    @initialize()
    def begin(self) -> None:
        """A call begins: somebody is there and says something."""
        self.register(0, claims=False)
        self.speak(0, "completed", ["user", "assistant"])

    @rule(offset_ms=st.integers(-5, 5), claims=st.booleans())
    def register(self, offset_ms: int, *, claims: bool) -> None:
        """A writer registers, with a claimed fence or without."""
        name = f"w{len(self.writers)}"
        start = START_MS + offset_ms
        used = {w.fence for w in self.writers.values()}
        # After a clear a granted fence lies above the clock: only the order is modelled then.
        fields: Json = {"started_at": instant(start)} | ({"fence": start} if claims else {})
        fence = self.log.register(name, **fields)["fence"]
        assert fence not in used
        if claims and start not in used:
            assert fence == start
        else:
            assert fence > max(used, default=0)
            if self.session == 0:
                assert fence == max(max(used, default=0) + 1, start)
        self.writers[name] = Written(fence=fence)

    @rule(chosen=st.integers(0, 50), outcome=OUTCOMES, roles=st.lists(ROLES, max_size=3))
    def speak(self, chosen: int, outcome: str, roles: list[str]) -> None:
        """A writer makes a turn; nothing of it is sent yet."""
        everyone = list(self.writers.items())
        name, writer = everyone[chosen % len(everyone)]
        turn = f"{name}-t{len(writer.made)}"
        common: Json = {"session_number": self.session, "turn_id": turn}
        first = len(writer.made) + 1
        made = [event(first, "turn_started", **common)]
        made += [
            message(first + n, role, f"{name} says {first + n}", **common)
            for n, role in enumerate(roles, 1)
        ]
        made.append(event(first + len(roles) + 1, "turn_ended", outcome=outcome, **common))
        writer.made += [e | {"event_id": f"{name}-{e['ordinal']}"} for e in made]

    @rule(chosen=st.integers(0, 50), picks=st.lists(st.integers(0, 200), min_size=1, max_size=8))
    def send(self, chosen: int, picks: list[int]) -> None:
        """Some events of a writer are sent, in any order, known ones among them."""
        full = [(n, w) for n, w in self.writers.items() if w.made]
        name, writer = full[chosen % len(full)]
        batch = [writer.made[index] for index in dict.fromkeys(p % len(writer.made) for p in picks)]
        new = [made for made in batch if made["ordinal"] not in writer.arrived]
        new.sort(key=lambda made: int(made["ordinal"]))
        for made in new:
            writer.arrived[made["ordinal"]] = made
            self._count(writer, made)
        self.stored += len(new)
        answer = self.log.store(name, *batch)
        assert answer["acknowledged"] == self._acknowledged(writer)
        assert answer["session_number"] == self.session
        assert answer["highest_fence"] == max(w.fence for w in self.writers.values())

    def _count(self, writer: Written, made: Json) -> None:
        late = made["turn_id"] in writer.ended_turns
        if made["kind"] == "turn_ended":
            writer.ended_turns.add(made["turn_id"])
        self.version += late or made.get("outcome") in COUNTED

    @rule()
    def clear(self) -> None:
        """Somebody clears the context."""
        body = {"event_id": fresh("clear")}
        self.session += 1
        self.stored += 1
        answer = ok(self.log.http.post(f"{self.log.path}/clear", json=body, timeout=10))
        assert answer["session_number"] == self.session

    @precondition(lambda self: any(w.arrived for w in self.writers.values()))
    @rule(chosen=st.integers(0, 50), change=st.sampled_from(["text", "ordinal", "event_id"]))
    def contradict(self, chosen: int, change: str) -> None:
        """A known id with other content, or a used ordinal, stores nothing."""
        known = [(n, e) for n, w in self.writers.items() for e in w.arrived.values()]
        name, made = known[chosen % len(known)]
        other: Json = {"text": "changed", "ordinal": 99_999, "event_id": fresh("other")}
        refused(self.log.send(name, made | {change: other[change]}), 409)

    @invariant()
    def shows_the_same(self) -> None:
        """Both sides agree on what is there, in which order, and what is missing."""
        shown = self.log.shown()
        assert shown["version"] == str(self.version)
        assert shown["last_position"] == self.stored
        assert shown["session_number"] == self.session
        assert [(g["writer_id"], g["from"], g["to"]) for g in shown["missing"]] == self._missing()
        assert self.log.texts() == self._order()[-200:]

    def _acknowledged(self, writer: Written) -> int:
        return next(n for n in range(len(writer.made) + 2) if n + 1 not in writer.arrived)

    def _missing(self) -> list[tuple[str, int, int]]:
        gaps = []
        for name, writer in sorted(self.writers.items(), key=lambda item: item[1].fence):
            below = 0
            for ordinal in sorted(writer.arrived):
                if ordinal > below + 1:
                    gaps.append((name, below + 1, ordinal - 1))
                below = ordinal
        return gaps

    def _order(self) -> list[str]:
        keyed = []
        for writer in self.writers.values():
            arrived = writer.arrived
            starts = {e["turn_id"]: n for n, e in arrived.items() if e["kind"] == "turn_started"}
            for ordinal, made in arrived.items():
                if made["kind"] == "message":
                    turn = starts.get(made["turn_id"], ordinal)
                    in_turn = (made["role"] != "user", ordinal)
                    place = (made["session_number"], writer.fence, turn, *in_turn)
                    keyed.append((place, made["text"]))
        return [text for _, text in sorted(keyed)]


def test_the_log_agrees_with_its_model(backend: Backend, http: httpx.Client) -> None:
    class Bound(LogMachine):
        pass

    Bound.http = http
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
