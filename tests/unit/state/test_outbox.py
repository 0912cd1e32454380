"""The outbox: what it took survives; what it could not take leaves no trace."""

import asyncio
import contextlib
import fcntl
import os
import resource
import shutil
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import msgspec
import pytest

from tests.support.waiting import wait_until
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.errors import NewerFormat, OutboxFull, UnreadableRecord
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.domain.usage import Usage
from voice_agent.state import frames
from voice_agent.state.acks import Ack, ack_of, write_ack
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import (
    DOORBELL,
    Bound,
    Durability,
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


@contextlib.asynccontextmanager
async def opened(placement: Placement) -> AsyncIterator[Outbox]:
    """As a call does it: opening may block, so it has a thread."""
    outbox = Outbox(placement, HEADER)
    await asyncio.to_thread(outbox.open)
    try:
        yield outbox
    finally:
        outbox.close()


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


def test_a_disk_that_is_full_at_the_start_leaves_no_file_and_the_next_record_makes_it(
    tmp_path: Path,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    outbox = Outbox(Placement(folder=tmp_path), HEADER)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OutboxFull):
            outbox.open()
        with pytest.raises(OutboxFull):
            outbox.append(1, b"one")
        assert list(tmp_path.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    outbox.append(1, b"one")
    outbox.close()
    assert [f.payload for f in frames_in(tmp_path) if f.type == FrameType.EVENT] == [b"one"]


class Looker(threading.Thread):
    """Looks at one outbox as a relay does, all the time; counts what it must never see."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.stopping = threading.Event()
        self.looks = 0
        self.dead = 0
        self.headless = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.join()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                fd = os.open(self.path, os.O_RDWR)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.dead += os.fstat(fd).st_nlink > 0
            except BlockingIOError:
                self.headless += os.fstat(fd).st_size <= frames.HEAD_BYTES
            os.close(fd)
            self.looks += 1


def test_a_file_that_has_its_name_is_locked_and_has_its_header(tmp_path: Path) -> None:
    """A relay that looks at any moment must not take a new writer for a dead one."""
    path = Placement(folder=tmp_path).file_of(WriterId("w1"))
    with Looker(path) as looker:
        for _ in range(60):
            outbox = Outbox(Placement(folder=tmp_path), HEADER)
            outbox.open()
            before = looker.looks
            wait_until(lambda seen=before: looker.looks > seen)  # type: ignore[misc]
            path.unlink()
            outbox.close()
    assert (looker.dead, looker.headless) == (0, 0)


def test_a_folder_that_is_deleted_in_mid_call_is_noticed_at_the_next_record(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "outbox"
    with Outbox(Placement(folder=folder), HEADER) as outbox:
        outbox.append(1, b"one")
        shutil.rmtree(folder)
        outbox.append(2, b"two")
        outbox.ring()
        assert [f.payload for f in frames_in(folder) if f.type == FrameType.EVENT] == [
            b"one",
            b"two",
        ]
        outbox.append(3, b"three")
    assert [f.ordinal for f in frames_in(folder)] == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["deleted", "moved away", "folder moved away"])
async def test_a_file_that_is_no_longer_in_its_place_is_written_anew(
    tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "outbox"
    placement = Placement(folder=folder)
    path = placement.file_of(WriterId("w1"))
    async with opened(placement) as outbox:
        outbox.append(1, b"one")
        await outbox.look()
        first = path.stat().st_ino
        if how == "deleted":
            path.unlink()
        elif how == "moved away":
            path.rename(tmp_path / "elsewhere")
        else:
            folder.rename(tmp_path / "elsewhere")
        await outbox.look()
        assert path.stat().st_ino != first
        outbox.append(2, b"two")
    assert [f.ordinal for f in frames_in(folder)] == [0, 1, 2]


async def test_a_file_written_anew_is_locked_and_forgets_the_old_acknowledgement(
    tmp_path: Path,
) -> None:
    path = Placement(folder=tmp_path).file_of(WriterId("w1"))
    async with opened(Placement(folder=tmp_path)) as outbox:
        outbox.append(1, b"one")
        ack_of(path).write_text("9999")
        path.unlink()
        await outbox.look()
        assert not ack_of(path).exists()
        fd = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


async def test_a_deleted_file_waits_for_a_disk_that_has_room_again(tmp_path: Path) -> None:
    """What only the deleted file holds must not be forgotten with the first failure."""
    folder = tmp_path / "outbox"
    async with opened(Placement(folder=folder)) as outbox:
        outbox.append(1, b"one")
        shutil.rmtree(folder)
        folder.write_text("in the way")
        with pytest.raises(OutboxFull):
            await outbox.look()
        with pytest.raises(OutboxFull):
            outbox.append(2, b"two")
        folder.unlink()
        outbox.append(2, b"two")
    assert [f.ordinal for f in frames_in(folder)] == [0, 1, 2]


async def test_with_power_a_record_is_secured_by_the_disk(tmp_path: Path) -> None:
    outbox = Outbox(Placement(folder=tmp_path, durability=Durability.POWER), HEADER)
    await asyncio.to_thread(outbox.open)
    clock = SystemClock()
    outbox.append(1, b"one")
    await asyncio.wait_for(outbox.secured(1, clock=clock), 5)
    late = asyncio.ensure_future(outbox.secured(2, clock=clock))
    done, _ = await asyncio.wait({late}, timeout=0.05)
    assert not done
    outbox.append(2, b"two")
    await asyncio.wait_for(late, 5)
    Placement(folder=tmp_path).file_of(WriterId("w1")).unlink()
    await outbox.look()
    outbox.append(3, b"three")
    await asyncio.wait_for(outbox.secured(3, clock=clock), 5)
    outbox.close()
    assert [f.ordinal for f in frames_in(tmp_path)] == [0, 1, 2, 3]


async def test_acknowledged_means_that_the_relay_says_so_of_this_very_file(
    tmp_path: Path,
) -> None:
    placement = Placement(folder=tmp_path, durability=Durability.ACKNOWLEDGED)
    path = placement.file_of(WriterId("w1"))
    async with opened(placement) as outbox:
        outbox.append(1, b"one")
        write_ack(ack_of(path), Ack(end=999, ordinal=1, file=path.stat().st_ino + 1))
        waiting = asyncio.ensure_future(outbox.secured(1, clock=SystemClock()))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        write_ack(ack_of(path), Ack(end=999, ordinal=1, file=path.stat().st_ino))
        await asyncio.wait_for(waiting, 5)


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
    ended = msgspec.json.decode(items[-1].payload, type=Ended)
    assert (ended.reason, ended.last_ordinal, ended.usage) == ("caller_left", 3, None)


def test_the_frozen_end_that_says_what_was_used_up_is_still_read() -> None:
    corpus = Path(__file__).parents[2] / "corpus" / "outbox" / "v1.w2.outbox"
    items = [i for i in frames.read(corpus.read_bytes(), final=True) if isinstance(i, Frame)]
    assert [item.type for item in items] == [1, 2, 4]
    ended = msgspec.json.decode(items[-1].payload, type=Ended)
    heard = Usage(service="stt", provider="p", model="m", counts={"audio_s": 2.5})
    assert ended.usage == (heard,)
