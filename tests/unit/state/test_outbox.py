"""The outbox: what it took survives; what it could not take leaves no trace."""

import fcntl
import os
import resource
import socket
from pathlib import Path

import msgspec
import pytest

from voice_agent.domain.errors import NewerFormat, OutboxFull, UnreadableRecord
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state import frames
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import (
    DOORBELL,
    Bound,
    Ended,
    Header,
    Outbox,
    Placement,
    header_of,
    short_socket_path,
)

HEADER = Header(
    writer_id="w1", started_at="2026-11-21T04:00:00.000Z", fence=1, conversation_id="c1"
)


def frames_in(folder: Path) -> list[Frame]:
    data = Placement(folder=folder).file_of(WriterId("w1")).read_bytes()
    items = list(frames.read(data, final=True))
    assert all(isinstance(item, Frame) for item in items)
    return [item for item in items if isinstance(item, Frame)]


def test_the_file_tells_the_whole_call(tmp_path: Path) -> None:
    with Outbox(Placement(folder=tmp_path), HEADER) as outbox:
        outbox.append(1, b"one")
        outbox.bind(ConversationId("c2"))
        outbox.end(reason="caller_left", at="2026-11-21T04:01:00.000Z", last_ordinal=1)
    header, event, bound, ended = frames_in(tmp_path)
    assert header_of(header.payload, source="x") == HEADER
    assert (event.ordinal, event.payload) == (1, b"one")
    assert msgspec.json.decode(bound.payload, type=Bound).conversation_id == "c2"
    assert msgspec.json.decode(ended.payload, type=Ended).reason == "caller_left"


def test_the_lock_says_whether_the_writer_lives(tmp_path: Path) -> None:
    path = Placement(folder=tmp_path).file_of(WriterId("w1"))
    with Outbox(Placement(folder=tmp_path), HEADER):
        fd = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


def test_a_full_disk_refuses_the_record_and_leaves_no_torn_one(tmp_path: Path) -> None:
    """A file size limit fails writes as a full disk does, at any byte of a record."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Outbox(Placement(folder=tmp_path), HEADER) as outbox:
        outbox.append(1, b"x" * 100)
        size = Placement(folder=tmp_path).file_of(WriterId("w1")).stat().st_size
        import signal

        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
        try:
            with pytest.raises(OutboxFull):
                outbox.append(2, b"y" * 100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        outbox.append(2, b"z")
    assert [f.payload for f in frames_in(tmp_path) if f.type == FrameType.EVENT] == [
        b"x" * 100,
        b"z",
    ]


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutboxFull):
        Outbox(Placement(folder=blocked / "sub"), HEADER).open()


def test_the_doorbell_rings_also_in_a_folder_with_a_very_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.bind(short_socket_path(folder / DOORBELL))
    bell.settimeout(5)
    with Outbox(Placement(folder=folder), HEADER) as outbox:
        outbox.ring()
        assert bell.recv(100) == b"w1"
    bell.close()


def test_without_a_relay_ringing_is_harmless(tmp_path: Path) -> None:
    with Outbox(Placement(folder=tmp_path), HEADER) as outbox:
        outbox.ring()


def test_a_header_of_a_later_version_is_left_to_a_later_program() -> None:
    with pytest.raises(NewerFormat):
        header_of(b'{"v":99,"writer_id":"w","started_at":"x","fence":1}', source="f")
    with pytest.raises(UnreadableRecord):
        header_of(b"nonsense", source="f")


def test_the_frozen_outbox_of_version_1_is_still_read() -> None:
    corpus = Path(__file__).parents[2] / "corpus" / "outbox" / "v1.w1.outbox"
    items = [i for i in frames.read(corpus.read_bytes(), final=True) if isinstance(i, Frame)]
    assert [item.type for item in items] == [1, 3, 2, 2, 2, 4]
    assert header_of(items[0].payload, source="corpus").key == "room-x"
