"""Reading an outbox: all that can be read, nothing twice, nothing that is for a later program."""

import logging
from pathlib import Path

import msgspec
import pytest

from voice_agent.domain.errors import NewerFormat
from voice_agent.state import frames, reading
from voice_agent.state.acks import Ack, ack_of, write_ack
from voice_agent.state.codec import decode_event
from voice_agent.state.frames import FrameType
from voice_agent.state.outbox import Header
from voice_agent.state.reading import Found, OutboxReader

HEADER = Header(
    writer_id="w1", started_at="2026-11-21T04:00:00.000Z", fence=1, conversation_id="c1"
)
HEAD = frames.pack(FrameType.HEADER, 0, msgspec.json.encode(HEADER))


def event(ordinal: int, size: int = 3) -> bytes:
    return frames.pack(FrameType.EVENT, ordinal, b"x" * size)


def write(folder: Path, *records: bytes) -> Path:
    path = folder / "w1.outbox"
    path.write_bytes(b"".join(records))
    return path


def read_all(path: Path, *, dead: bool = True) -> tuple[OutboxReader, list[Found]]:
    reader = OutboxReader(path)
    reader.open()
    found = [reader.read(dead=dead)]
    while found[-1].more:
        found.append(reader.read(dead=dead))
    reader.close()
    return reader, found


def ordinals(found: list[Found]) -> list[int]:
    return [record.ordinal for one in found for record in one.records]


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    records = [event(n, 900_000) for n in range(1, 13)]
    path = write(tmp_path, HEAD, *records)
    _, found = read_all(path)
    assert ordinals(found) == list(range(1, 13))
    assert len(found) > 2
    assert all(sum(len(r.data) for r in one.records) <= reading.READ_BYTES for one in found)


def test_what_was_acknowledged_is_not_read_again_but_of_another_file_it_is(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, HEAD, event(1), event(2))
    end = len(HEAD) + len(event(1))
    write_ack(ack_of(path), Ack(end=end, ordinal=1, file=path.stat().st_ino))
    assert ordinals(read_all(path)[1]) == [2]
    write_ack(ack_of(path), Ack(end=end, ordinal=1, file=path.stat().st_ino + 1))
    assert ordinals(read_all(path)[1]) == [1, 2]


def test_a_gap_in_the_ordinals_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, HEAD, event(1), event(5), event(6))
    with caplog.at_level(logging.ERROR):
        reader, found = read_all(path)
    assert [one.gaps for one in found] == [1]
    assert reader.last_ordinal == 6
    [line] = [record for record in caplog.records if "lacks records" in record.message]
    assert (line.__dict__["from"], line.__dict__["to"]) == (2, 4)


def test_a_lost_event_is_the_same_every_time(tmp_path: Path) -> None:
    """Else a second relay's own would be refused as other content, for ever."""
    raw = bytearray(event(2))
    raw[-1] ^= 1
    path = write(tmp_path, HEAD, event(1), bytes(raw), event(3))
    first, second = read_all(path)[1][0], read_all(path)[1][0]
    assert [record.stands_in for record in first.records] == [False, True, False]
    assert first.records == second.records
    assert decode_event(first.records[1].data).at.isoformat() == "2026-11-21T04:00:00+00:00"
    assert first.damaged == 1
    assert first.gaps == 0
    assert [p.read_bytes() for p in (tmp_path / "quarantine").iterdir()] == [bytes(raw)]


@pytest.mark.parametrize(
    "later",
    [
        event(2)[:2] + b"\x02" + event(2)[3:],
        frames.pack(frames.FrameType.EVENT | frames.SEALED, 2, b"xx"),  # type: ignore[arg-type]
        frames.pack(77, 2, b"xx"),  # type: ignore[arg-type]
    ],
    ids=["version", "sealed", "type"],
)
def test_a_record_for_a_later_program_is_never_skipped(tmp_path: Path, later: bytes) -> None:
    """Whoever skipped it would delete the file with somebody's words in it."""
    if later[2] == 2:  # its checksum must be right: it is whole, only not for us
        import zlib

        crc = zlib.crc32(later[20:], zlib.crc32(later[:16]))
        later = later[:16] + crc.to_bytes(4, "little") + later[20:]
    path = write(tmp_path, HEAD, event(1), later, event(3))
    reader = OutboxReader(path)
    reader.open()
    assert [record.ordinal for record in reader.read(dead=True).records] == [1]
    for _ in range(2):
        with pytest.raises(NewerFormat):
            reader.read(dead=True)
    reader.close()


def test_garbage_without_end_does_not_stop_the_reading(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, event(1), b"\0" * (reading.READ_BYTES + 100), event(2))
    _, found = read_all(path)
    assert ordinals(found) == [1, 2]


def test_a_live_writer_may_be_in_the_middle_of_a_record(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, event(1), event(2)[:-1])
    reader = OutboxReader(path)
    reader.open()
    assert [r.ordinal for r in reader.read(dead=False).records] == [1]
    path.write_bytes(b"".join([HEAD, event(1), event(2)]))
    assert [r.ordinal for r in reader.read(dead=False).records] == [2]
    reader.close()


def test_who_has_the_name_now_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD)
    reader = OutboxReader(path)
    reader.open()
    assert not reader.is_replaced()
    path.unlink()
    assert not reader.is_replaced()
    write(tmp_path, HEAD)
    assert reader.is_replaced()
    reader.close()
