"""Greet once per conversation, brief after a long gap, else simply go on (S1.26)."""

from datetime import UTC, datetime, timedelta

from voice_agent.call.opening import Opening, opening
from voice_agent.domain.events import Event, Message
from voice_agent.domain.ids import EventId

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def said(ago_s: float) -> list[Event]:
    return [Event(event_id=EventId("e"), ordinal=1, at=NOW - timedelta(seconds=ago_s),
                  body=Message(role="user", text="hi"))]  # fmt: skip


def test_a_new_conversation_is_greeted() -> None:
    assert opening([], now=NOW, brief_after_s=60) is Opening.GREET


def test_a_short_gap_is_not_heard() -> None:
    assert opening(said(59), now=NOW, brief_after_s=60) is Opening.SILENT


def test_a_long_gap_gets_a_brief_and_no_second_greeting() -> None:
    assert opening(said(61), now=NOW, brief_after_s=60) is Opening.BRIEF


def test_a_clock_that_went_backwards_is_no_gap() -> None:
    assert opening(said(-500), now=NOW, brief_after_s=60) is Opening.SILENT
