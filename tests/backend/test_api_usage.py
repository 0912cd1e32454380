"""What models used up, as the API adds it up. Behaviour over both databases."""

from typing import Any

import httpx
import pytest

from tests.backend.log_client import Log, event, ok, refused
from tests.backend.process import Backend

Json = dict[str, Any]


def spent(
    service: str = "llm", provider: str = "openai", model: str = "m", **counts: float
) -> Json:
    """Make a report."""
    return {"service": service, "provider": provider, "model": model, "counts": counts}


def ended(ordinal: int, *usage: Json, **fields: object) -> Json:
    """Make the end of a turn that spent something."""
    turn = {"turn_id": f"t{ordinal}", "outcome": "completed", "usage": list(usage)}
    return event(ordinal, "turn_ended", **(turn | fields))


def usage(log: Log, **query: object) -> Json:
    """Read what was used up."""
    return ok(log.http.get(f"{log.path}/usage", params=query))  # type: ignore[arg-type]


def test_reports_add_up_per_model_call_and_conversation(log: Log) -> None:
    log.register("w1", room="room-1")
    log.register("w2", room="room-2")
    log.store(
        "w1",
        ended(1, spent(requests=1, input_tokens=10), spent("stt", audio_s=1.2, requests=1)),
        ended(2, spent(requests=2, input_tokens=5, output_tokens=3)),
        ended(3, spent(model="other", requests=1)),
    )
    log.store("w1", ended(4, spent("stt", audio_s=0.1)))
    log.store("w2", ended(1, spent(requests=1, input_tokens=7), event_id="f1"))
    found = usage(log)
    first = [
        spent(requests=3, input_tokens=15, output_tokens=3),
        spent(model="other", requests=1),
        spent("stt", audio_s=1.3, requests=1),
    ]
    assert [call["items"] for call in found["calls"]] == [
        [spent(requests=1, input_tokens=7)],
        first,
    ]
    assert found["items"] == [spent(requests=4, input_tokens=22, output_tokens=3), *first[1:]]
    assert [(call["writer_id"], call["room"]) for call in found["calls"]] == [
        ("w2", "room-2"),
        ("w1", "room-1"),
    ]
    assert found["next"] is None


def test_what_is_sent_again_counts_once(log: Log) -> None:
    log.register("w")
    batch = [ended(1, spent(requests=1)), ended(2, spent(requests=1))]
    for _ in range(3):
        log.store("w", *batch)
    log.store("w", *batch, ended(3, spent(requests=1)))
    for _ in range(2):
        ok(log.end("w", usage=[spent(requests=1)]))
    assert usage(log)["items"] == [spent(requests=4)]


def test_what_is_left_at_the_end_is_in_call_ended(log: Log) -> None:
    log.register("w")
    left = spent("stt", audio_s=2.5)
    ok(log.end("w", usage=[left]))
    (last,) = log.events(kind="call_ended")
    assert last["usage"] == [left]
    assert usage(log)["items"] == [left]


def test_what_a_writer_says_at_its_end_counts_once_also_when_another_ended_it_before(
    log: Log,
) -> None:
    """The sweeper gave a pod up that was only cut off: its relay comes back with the rest."""
    log.register("w")
    ok(log.end("w", reason="agent_lost"))
    log.store("w", ended(1, spent(requests=1)))
    for _ in range(2):
        ok(log.end("w", usage=[spent(requests=1)]))
    assert usage(log)["items"] == [spent(requests=2)]


def test_an_end_without_usage_says_nothing_of_it(log: Log) -> None:
    log.register("w")
    ok(log.end("w"))
    (last,) = log.events(kind="call_ended")
    assert "usage" not in last
    assert usage(log) == {"items": [], "calls": [], "next": None}


def test_a_fork_has_spent_nothing_and_shows_what_was(log: Log) -> None:
    log.register("w")
    log.store("w", ended(1, spent(requests=1)))
    made = ok(log.http.post(f"{log.path}/fork", json={}))
    copy = Log(log.http, made["id"])
    assert copy.events(kind="turn_ended")[0]["usage"] == [spent(requests=1)]
    assert usage(copy)["items"] == []


def test_calls_come_in_pages_newest_first_and_the_sums_are_always_of_all(log: Log) -> None:
    for n in range(5):
        log.register(f"w{n}")
        if n != 2:
            log.store(f"w{n}", ended(1, spent(requests=1), event_id=f"e{n}"))
    pages, after = [], None
    for _ in range(2):
        page = usage(log, limit=2, **({"after": after} if after else {}))
        assert page["items"] == [spent(requests=4)]
        pages.append([call["writer_id"] for call in page["calls"]])
        after = page["next"]
    assert pages == [["w4", "w3"], ["w1", "w0"]]
    assert after is None
    refused(log.http.get(f"{log.path}/usage?after=nobody"), 400, "unknown_cursor")


@pytest.mark.parametrize(
    "bad",
    [
        "much",
        [{}],
        [spent(requests=-1)],
        [spent(Requests=1)],
        [spent(model="")],
        [spent(provider="a\0b")],
        [{**spent(), "counts": {"requests": "1"}}],
        [spent(requests=1)] * 65,
        [{**spent(), "counts": {f"n{n}": 1.0 for n in range(65)}}],
    ],
)
def test_a_report_that_makes_no_sense_is_refused_whole(log: Log, bad: object) -> None:
    log.register("w")
    sent = event(2, "turn_ended", turn_id="t2", outcome="completed", usage=bad)
    problem = refused(log.send("w", ended(1, spent(requests=1)), sent), 400, "malformed_events")
    assert [error["index"] for error in problem["errors"]] == [1]
    assert "usage" in problem["errors"][0]["detail"]
    refused(log.end("w", usage=bad), 400, "malformed")
    assert usage(log)["items"] == []
    assert log.events() == []


def test_other_kinds_may_call_anything_usage(log: Log) -> None:
    log.register("w")
    log.store("w", event(1, usage="of words"), ended(2, usage=None))
    assert usage(log)["items"] == []


def test_nobody_else_sees_it(log: Log, backend: Backend, http: httpx.Client) -> None:
    log.register("w")
    log.store("w", ended(1, spent(requests=1)))
    path = f"{log.path}/usage"
    with backend.client(backend.token(tenant="others")) as other:
        refused(other.get(path), 404, "unknown_conversation")
    with backend.client(backend.token(scope="read")) as reader:
        ok(reader.get(path))
    refused(http.get("/v1/conversations/nowhere/usage"), 404, "unknown_conversation")
