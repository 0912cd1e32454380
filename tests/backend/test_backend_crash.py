"""What was answered survives kill -9 of the backend in mid-load: nothing lost, doubled, reused."""

import itertools
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.backend.log_client import Json, Log, event, message, ok
from tests.backend.process import Backend
from tests.backend.waiting import eventually

KILLS = 4
WRITERS = 4

pytestmark = pytest.mark.timeout(120)


@dataclass
class Deliverer:
    """One relay: sends batches of a writer until told to stop, each until it is answered."""

    log: Log
    writer_id: str
    answered: dict[str, int] = field(default_factory=dict)
    unanswered_count: int = 0

    def run(self, stopping: threading.Event) -> None:
        """Deliver. An outage is no failure: the same batch goes again."""
        ordinals = itertools.count(1)
        choose = random.Random(self.writer_id)
        while not stopping.is_set():
            batch = [self._event(next(ordinals)) for _ in range(choose.randint(1, 7))]
            self._deliver(batch, stopping)

    def _event(self, ordinal: int) -> Json:
        name = f"{self.writer_id}-{ordinal}"
        if ordinal % 3:
            return event(ordinal, event_id=name)
        return message(ordinal, event_id=name, text=name)

    def _deliver(self, batch: list[Json], stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                answer = self.log.send(self.writer_id, *batch)
            except httpx.TransportError:
                self.unanswered_count += 1
                stopping.wait(0.02)
                continue
            positions = ok(answer)["positions"]
            for sent, position in zip(batch, positions, strict=True):
                assert self.answered.setdefault(sent["event_id"], position) == position
            return


def everything(log: Log) -> Iterator[Json]:
    """Read the whole log, page by page."""
    after: int | None = 0
    while after is not None:
        page = ok(log.http.get(f"{log.path}/events", params={"after": after, "limit": 1000}))
        yield from page["items"]
        after = page["next"]


def test_kills_in_mid_load_lose_nothing_and_leave_positions_without_gap_or_reuse(
    own_backend: Backend,
) -> None:
    own_backend.start()
    with own_backend.client(own_backend.token("agent")) as http:
        log = Log.resolve(http, "crash")
        deliverers = [Deliverer(log, f"w{n}") for n in range(WRITERS)]
        for deliverer in deliverers:
            log.register(deliverer.writer_id)
        stopping = threading.Event()
        threads = [threading.Thread(target=d.run, args=(stopping,)) for d in deliverers]
        for thread in threads:
            thread.start()
        try:
            for _ in range(KILLS):
                _kill_in_mid_load(own_backend, deliverers)
                own_backend.start()
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        found = list(everything(log))
        shown = log.shown()

    positions = [e["position"] for e in found]
    assert positions == list(range(1, len(found) + 1))
    assert shown["last_position"] == len(found)
    by_id = {e["event_id"]: e["position"] for e in found}
    assert len(by_id) == len(found)
    for deliverer in deliverers:
        assert deliverer.answered.items() <= by_id.items()
        ordinals = [e["ordinal"] for e in found if e["writer_id"] == deliverer.writer_id]
        assert ordinals == list(range(1, len(ordinals) + 1))


def _kill_in_mid_load(backend: Backend, deliverers: list[Deliverer]) -> None:
    """Kill the backend while it answers; return once every deliverer has met the outage."""
    before = sum(len(d.answered) for d in deliverers)
    eventually(lambda: sum(len(d.answered) for d in deliverers) > before + 200, every_s=0.005)
    met = [d.unanswered_count for d in deliverers]
    backend.kill()
    eventually(lambda: all(d.unanswered_count > n for d, n in zip(deliverers, met, strict=True)))


def test_a_clear_that_a_crash_interrupted_is_whole_or_not_there_and_may_be_repeated(
    own_backend: Backend,
) -> None:
    """Number and event are one transaction (S5.4, S5.9); a reconnected writer sees the number."""
    own_backend.start()
    token = own_backend.token()
    stopping = threading.Event()
    answers: dict[str, int] = {}
    with own_backend.client(token) as http:
        id_ = Log.resolve(http).id

    def clear() -> None:
        with own_backend.client(token) as http:
            for n in itertools.count(1):
                body = {"event_id": f"clear-{n}"}
                while f"clear-{n}" not in answers:
                    if stopping.is_set():
                        return
                    try:
                        answer = http.post(f"/v1/conversations/{id_}/clear", json=body)
                    except httpx.TransportError:
                        continue  # the outcome is unknown: the same again
                    if answer.status_code == 200:
                        answers[f"clear-{n}"] = answer.json()["session_number"]

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        for _ in range(KILLS):
            before = len(answers)
            eventually(lambda before=before: len(answers) > before + 5)  # type: ignore[misc]
            own_backend.kill()
            own_backend.start()
    finally:
        stopping.set()
        thread.join(20)
    with own_backend.client(token) as http:
        log = Log(http, id_)
        cleared = log.events(kind="context_cleared", limit=1000)
        numbers = {each["event_id"]: each["session_number"] for each in cleared}
        assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))
        assert answers.items() <= numbers.items()
        assert (
            log.register("back")["session_number"] == len(numbers) == log.shown()["session_number"]
        )
