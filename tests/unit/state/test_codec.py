"""Events as bytes: what is encoded is decoded, in every version that was ever stored."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voice_agent.domain.errors import UnreadableRecord
from voice_agent.domain.events import (
    KINDS,
    Event,
    Message,
    Speaker,
    TurnEnded,
    Unknown,
)
from voice_agent.domain.ids import EventId, Identity, TurnId
from voice_agent.state.codec import decode_event, encode_event

CORPUS = Path(__file__).parents[2] / "corpus" / "events"
AT = datetime(2026, 11, 21, 4, 0, 0, 123000, tzinfo=UTC)


def test_a_message_makes_the_round_trip() -> None:
    event = Event(
        event_id=EventId("e1"),
        ordinal=7,
        at=AT,
        turn_id=TurnId("t1"),
        body=Message(role="user", text="grüße", speaker=Speaker(identity=Identity("ada"))),
    )
    assert decode_event(encode_event(event)) == event


def test_instants_have_milliseconds_and_end_in_z() -> None:
    event = Event(event_id=EventId("e"), ordinal=1, at=AT, body=TurnEnded(outcome="completed"))
    assert json.loads(encode_event(event))["at"] == "2026-11-21T04:00:00.123Z"


def test_an_unknown_kind_is_kept_as_it_is() -> None:
    raw = b'{"v":9,"event_id":"e","ordinal":1,"kind":"dance","at":"2026-01-01T00:00:00.000Z","x":1}'
    event = decode_event(raw)
    assert isinstance(event.body, Unknown)
    assert event.kind == "dance"
    assert json.loads(encode_event(event))["x"] == 1


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"event_id":"e"}', b"\xff"])
def test_what_is_no_event_is_refused_as_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode_event(raw)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda p: p.name)
def test_every_stored_version_is_still_read(path: Path) -> None:
    event = decode_event(path.read_bytes())
    assert event.kind == path.stem.split(".")[1]
    assert not isinstance(event.body, Unknown)


def test_what_was_used_up_makes_the_round_trip() -> None:
    frozen = (CORPUS / "v1.turn_ended.usage.json").read_bytes()
    event = decode_event(frozen)
    assert isinstance(event.body, TurnEnded)
    assert [(one.service, one.counts["requests"]) for one in event.body.usage or ()] == [
        ("llm", 1),
        ("stt", 1),
    ]
    assert decode_event(encode_event(event)) == event
    plain = Event(event_id=EventId("e"), ordinal=1, at=AT, body=TurnEnded(outcome="completed"))
    assert b"usage" not in encode_event(plain)


def test_the_corpus_has_every_kind_of_version_1() -> None:
    assert {path.stem.split(".")[1] for path in CORPUS.glob("v1.*.json")} == set(KINDS)
