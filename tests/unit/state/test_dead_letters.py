"""Dead letters: kept once, shown, and put back for delivery as what they are."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from voice_agent.domain.ids import WriterId
from voice_agent.state import frames
from voice_agent.state.dead_letters import DeadLetters, Letter, NotReplayed, event_as_json
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import Header, header_of

CORPUS = Path(__file__).parents[2] / "corpus" / "dead"
W1 = WriterId("w1")


def letter(ordinal: int, **fields: object) -> Letter:
    event = {"v": 1, "event_id": f"e{ordinal}", "ordinal": ordinal, "kind": "message", "new": 1}
    made = Letter(writer_id="w1", ordinal=ordinal, status=409, code="x", fence=100,
                  conversation_id="c1", at="2026-11-21T04:00:00.000Z",
                  event=event_as_json(json.dumps(event).encode()))  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def outbox_of(folder: Path, writer_id: str) -> tuple[Header, list[tuple[int, dict[str, object]]]]:
    items = list(frames.read((folder / f"{writer_id}.outbox").read_bytes(), final=True))
    whole = [item for item in items if isinstance(item, Frame)]
    assert whole == items
    assert whole[-1].type == FrameType.ENDED
    events = [(f.ordinal, json.loads(f.payload)) for f in whole if f.type == FrameType.EVENT]
    return header_of(whole[0].payload, source="x"), events


def test_a_letter_is_kept_once(tmp_path: Path) -> None:
    """A relay that died before it said so refuses the same event again."""
    letters = DeadLetters(tmp_path)
    assert letters.add(letter(1))
    assert letters.add(letter(2))
    assert not letters.add(letter(1, code="ordinal_taken"))
    assert [(one.ordinal, one.code) for one in letters.of(W1)] == [(1, "x"), (2, "x")]
    assert letters.writers() == [W1]


def test_a_replay_is_a_writer_of_its_own_right_behind_the_call(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.add(letter(4))
    letters.add(letter(9))
    done = letters.replay(W1)
    assert (done.writer_id, done.count) == ("r4-9-w1", 2)
    header, events = outbox_of(tmp_path, done.writer_id)
    assert (header.conversation_id, header.fence) == ("c1", 101)
    assert [(n, e["event_id"], e["ordinal"], e["new"]) for n, e in events] == [
        (1, "e4", 1, 1),
        (2, "e9", 2, 1),
    ]
    assert letters.writers() == []


def test_a_replay_that_died_half_way_makes_the_same_file_again(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.add(letter(4))
    kept = (tmp_path / "dead" / "w1.jsonl").read_bytes()
    done = letters.replay(W1)
    made = (tmp_path / f"{done.writer_id}.outbox").read_bytes()
    (tmp_path / f"{done.writer_id}.outbox").unlink()  # delivered meanwhile
    (tmp_path / "dead" / "w1.jsonl").write_bytes(kept)
    again = letters.replay(W1)
    assert again == done
    assert (tmp_path / f"{again.writer_id}.outbox").read_bytes() == made


def test_letters_that_come_after_a_replay_are_another_replay(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.add(letter(4))
    first = letters.replay(W1)
    (tmp_path / f"{first.writer_id}.outbox").unlink()
    letters.add(letter(6))
    assert letters.replay(W1).writer_id != first.writer_id
    assert len(list((tmp_path / "dead").glob("*.replayed*"))) == 2


def test_nothing_is_replayed_into_a_conversation_that_is_in_use(tmp_path: Path) -> None:
    """Its live agent would take the replay's writer for a newer agent."""
    letters = DeadLetters(tmp_path)
    letters.add(letter(4))
    header = Header(writer_id="w2", started_at="x", fence=5, conversation_id="c1")
    live = tmp_path / "w2.outbox"
    live.write_bytes(frames.pack(FrameType.HEADER, 0, msgspec.json.encode(header)))
    with pytest.raises(NotReplayed, match="in use"):
        letters.replay(W1)
    live.unlink()
    letters.replay(W1)


def test_what_cannot_be_replayed_is_said(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    with pytest.raises(NotReplayed, match="no dead letters"):
        letters.replay(W1)
    letters.add(letter(1, conversation_id=None))
    with pytest.raises(NotReplayed, match="no conversation"):
        letters.replay(W1)


def test_bytes_that_are_no_event_are_kept_and_spoil_no_neighbour(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.add(letter(1, event=event_as_json(b"\xff\n{")))
    letters.add(letter(2))
    assert [one.ordinal for one in letters.of(W1)] == [1, 2]
    with pytest.raises(NotReplayed, match="no event"):
        letters.replay(W1)


def test_letters_of_every_version_are_still_read_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "dead").mkdir()
    shutil.copy(CORPUS / "v1.jsonl", tmp_path / "dead" / "w1.jsonl")
    letters = DeadLetters(tmp_path)
    assert [(one.ordinal, one.fence) for one in letters.of(W1)] == [(3, None), (4, 1795237199000)]
    header, events = outbox_of(tmp_path, letters.replay(W1).writer_id)
    assert header.fence > 1_700_000_000_000
    assert [n for n, _ in events] == [1, 2]
