"""The room's pointer (S1.1, S1.24): ids only, and nothing foreign is believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_agent.domain.ids import ConversationId, RoomName
from voice_agent.room.metadata import pointer_of, with_conversation

C1 = ConversationId("c1")
ROOM = RoomName("r")


def find(dispatch: str = "", room_metadata: str = "") -> tuple[str | None, str, str]:
    found = pointer_of(dispatch=dispatch, room_metadata=room_metadata, room=ROOM, fresh_key="fresh")
    return found.conversation_id, found.key, found.source


def test_the_dispatch_is_believed_before_the_room() -> None:
    assert find('{"conversation_id":"a"}', '{"conversation_id":"b"}') == ("a", "fresh", "dispatch")
    assert find("", '{"conversation_id":"b","x":1}') == ("b", "fresh", "room")


def test_where_nothing_names_a_conversation_the_room_is_its_key() -> None:
    assert find("", "{}") == (None, "room-r", "key")


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '"c1"',
        '{"conversation_id":7}',
        '{"conversation_id":"../x"}',
        '{"conversation_id":""}',
        json.dumps({"conversation_id": "x" * 65}),
        " " * 10 + "x" * 70_000,
        "[" * 60_000,
    ],
)
def test_a_malformed_pointer_begins_a_fresh_conversation(text: str) -> None:
    assert find(text) == (None, "fresh", "dispatch")


@given(text=st.text())
def test_no_metadata_breaks_the_start(text: str) -> None:
    find(text, text)


def test_writing_the_pointer_keeps_what_others_wrote() -> None:
    text = with_conversation('{"theme":"dark"}', C1)
    assert json.loads(text or "") == {"theme": "dark", "conversation_id": "c1"}


def test_a_pointer_that_is_right_is_not_written_again() -> None:
    assert with_conversation('{"conversation_id":"c1"}', C1) is None
    assert with_conversation("garbage", C1) == '{"conversation_id":"c1"}'
