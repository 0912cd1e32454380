"""The pure decisions of the backend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.clock import rfc3339
from backend.errors import Malformed, TooLarge
from backend.rules.events import check_batch, instant_ms
from backend.rules.fences import SessionStart, after_clear, grant, session_at
from backend.rules.ordinals import Received

ORDINALS = st.lists(st.integers(1, 40), max_size=60)


@given(st.lists(ORDINALS, max_size=8))
def test_received_agrees_with_a_plain_set(batches: list[list[int]]) -> None:
    received, model = Received(), set[int]()
    for batch in batches:
        received = received.with_all(batch)
        model |= set(batch)
        top = max(model, default=0)
        whole = next(n for n in range(top + 2) if n + 1 not in model)
        assert received.acknowledged == whole
        assert received.highest == top
        assert {n for n in range(1, 45) if received.has(n)} == model
        gaps = {n for first, last in received.missing() for n in range(first, last + 1)}
        assert gaps == set(range(1, top + 1)) - model


def test_missing_reaches_up_to_what_the_writer_said() -> None:
    received = Received().with_all([1, 2, 5])
    assert received.missing() == ((3, 4),)
    assert received.missing(7) == ((3, 4), (6, 7))


@pytest.mark.parametrize(
    ("claimed", "started", "highest", "floor", "used", "fence"),
    [
        (None, 100, 0, 0, set(), 100),
        (None, 100, 150, 0, {150}, 151),
        (None, 100, 50, 200, {50}, 201),
        (70, 100, 150, 0, {150}, 70),
        (150, 100, 150, 0, {150}, 151),
    ],
)
def test_a_free_claimed_fence_stays_and_a_used_one_is_raised(
    claimed: int | None, started: int, highest: int, floor: int, used: set[int], fence: int
) -> None:
    decided = grant(
        claimed=claimed,
        started_ms=started,
        highest=highest,
        floor=floor,
        is_used=used.__contains__,
    )
    assert decided == fence


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=12))
def test_a_fence_granted_after_a_clear_is_in_the_new_session(steps: list[tuple[bool, int]]) -> None:
    """Even when the writer's clock is behind the backend's."""
    highest = floor = now = number = 0
    starts: list[SessionStart] = []
    for clears, clock in steps:
        now = max(now, clock)
        if clears:
            floor = after_clear(highest=highest, floor=floor, now_ms=now)
            number += 1
            starts.append(SessionStart(number=number, after_fence=floor))
        else:
            highest = grant(
                claimed=None, started_ms=clock, highest=highest, floor=floor, is_used=bool
            )
            assert session_at(highest, starts) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T04:00:00",
        "2026-11-21T04:00:00+01:00",
        "0000-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21T04:00:00.123Z\n",
        5,
        None,
    ],
)
def test_only_utc_instants_are_read(text: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant_ms(text)


def test_an_instant_is_read_to_the_millisecond() -> None:
    assert instant_ms("1970-01-01T00:00:01.5Z") == 1500


def test_every_wrong_event_of_a_batch_is_named() -> None:
    good = {"event_id": "a", "ordinal": 1, "kind": "thinking", "at": "2026-11-21T04:00:00Z"}
    batch = [good, 5, good | {"ordinal": 0}, good | {"kind": "nonsense"}, good | {"at": "noon"}]
    with pytest.raises(Malformed) as caught:
        check_batch("c", "w", batch)
    assert [error.index for error in caught.value.errors] == [1, 2, 3, 4]


def test_a_large_event_is_refused_as_too_large() -> None:
    event = {"event_id": "a", "ordinal": 1, "kind": "thinking", "at": "2026-11-21T04:00:00Z"}
    with pytest.raises(TooLarge):
        check_batch("c", "w", [event | {"text": "x" * 300_000}])


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00.000Z", "0999-12-31T23:59:59.001Z", "9999-12-31T23:59:59.999Z"],
)
def test_an_instant_of_any_year_is_shown_as_it_was_read(text: str) -> None:
    assert rfc3339(instant_ms(text)) == text
