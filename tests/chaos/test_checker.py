"""The checker finds every broken promise, and nothing where all were kept."""

from collections.abc import Callable
from typing import Any

import pytest

from simulators.checker import Book, Fault, Kept, Said, check

Change = Callable[[Book, list[dict[str, Any]], list[dict[str, Any]]], None]


def a_book() -> Book:
    """Two processes: the first died before it answered "b", which was said again as "c"."""
    return Book(
        key="k",
        said=[
            Said(token="a", writer_id="w1", heard=2, answered=3),
            Said(token="b", writer_id="w1", heard=None),
            Said(token="c", writer_id="w2", heard=2, answered=3),
        ],
        writers=["w1", "w2"],
    )


def message(token: str, role: str) -> dict[str, Any]:
    return {"text": token, "role": role}


def turn(writer: str, first: int, *, turn_id: str) -> list[dict[str, Any]]:
    kinds = ["turn_started", "message", "message", "turn_ended"]
    return [{"kind": kind, "writer_id": writer, "ordinal": first + n, "turn_id": turn_id}
            for n, kind in enumerate(kinds)]  # fmt: skip


def end(writer: str) -> dict[str, Any]:
    return {"kind": "call_ended", "writer_id": writer, "ordinal": None}


def kept() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    messages = [message("a", "user"), message("a", "assistant"), message("c", "user"),
                message("c", "assistant")]  # fmt: skip
    events = [*turn("w1", 1, turn_id="t1"), end("w1"), *turn("w2", 1, turn_id="t2"), end("w2")]
    return messages, events


def faults(book: Book, messages: list[dict[str, Any]], events: list[dict[str, Any]]) -> set[Fault]:
    found = check(book, Kept(conversation={"missing": []}, messages=messages, events=events))
    return {violation.fault for violation in found}


def test_what_was_shown_once_and_in_order_is_right() -> None:
    assert faults(a_book(), *kept()) == set()


def test_what_was_not_shown_may_be_stored_once() -> None:
    messages, events = kept()
    messages.insert(2, message("b", "user"))
    assert faults(a_book(), messages, events) == set()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda b, m, e: m.pop(0), Fault.LOST),
        (lambda b, m, e: m.pop(3), Fault.LOST),
        (lambda b, m, e: m.append(m[0]), Fault.DOUBLED),
        (lambda b, m, e: m.insert(2, message("b", "user")) or m.insert(2, message("b", "user")),
         Fault.DOUBLED),
        (lambda b, m, e: m.insert(0, m.pop(2)), Fault.OUT_OF_ORDER),
        (lambda b, m, e: m.insert(0, message("b", "user")), Fault.OUT_OF_ORDER),
        (lambda b, m, e: m.append(message("z", "user")), Fault.INVENTED),
        (lambda b, m, e: e.pop(1), Fault.MISSING),
        (lambda b, m, e: e.append({"kind": "lost", "writer_id": "w1", "ordinal": 9}),
         Fault.MISSING),
        (lambda b, m, e: e.pop(4), Fault.NOT_ENDED),
        (lambda b, m, e: e.append(end("w1")), Fault.NOT_ENDED),
        (lambda b, m, e: e.append({**e[3], "ordinal": None}), Fault.NOT_ENDED),
        (lambda b, m, e: b.note(Fault.STUCK, "no answer"), Fault.STUCK),
    ],
)  # fmt: skip
def test_every_broken_promise_is_found(change: Change, fault: Fault) -> None:
    book, (messages, events) = a_book(), kept()
    change(book, messages, events)
    assert fault in faults(book, messages, events)


def test_a_gap_that_the_backend_names_is_found() -> None:
    messages, events = kept()
    gap = {"writer_id": "w1", "from": 5, "to": 6}
    found = check(a_book(), Kept(conversation={"missing": [gap]}, messages=messages, events=events))
    assert [violation.fault for violation in found] == [Fault.MISSING]
