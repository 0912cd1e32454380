"""Power-safe records: synced in groups, beside the loop, and never claimed when the disk failed."""

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.state.sync import GroupSync


class Disk:
    """A disk whose sync takes as long as the test says."""

    def __init__(self) -> None:
        self.may_finish = threading.Event()
        self.began = threading.Semaphore(0)
        self.synced: list[int] = []
        self.error: OSError | None = None

    def sync(self, fd: int) -> None:
        self.began.release()
        assert self.may_finish.wait(10)
        if self.error is not None:
            raise self.error
        os.fdatasync(fd)
        self.synced.append(fd)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.may_finish.set()


@pytest.fixture
def fd(tmp_path: Path) -> int:
    """A file; the sync that is given it closes it."""
    return os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def test_a_record_is_safe_only_when_the_disk_says_so(disk: Disk, fd: int) -> None:
    sync = GroupSync(disk.sync)
    sync.start()
    sync.wrote(fd, 1)
    waiting = asyncio.ensure_future(sync.synced(1))
    assert await asyncio.to_thread(disk.began.acquire, timeout=5)
    assert not waiting.done()
    disk.may_finish.set()
    await waiting
    await sync.synced(1)  # and again, at once
    sync.close_file(fd)
    sync.stop()


async def test_records_that_come_while_one_sync_runs_share_the_next(disk: Disk, fd: int) -> None:
    sync = GroupSync(disk.sync)
    sync.start()
    sync.wrote(fd, 1)
    assert await asyncio.to_thread(disk.began.acquire, timeout=5)
    for ordinal in range(2, 100):
        sync.wrote(fd, ordinal)
    disk.may_finish.set()
    await asyncio.gather(*(sync.synced(ordinal) for ordinal in range(1, 100)))
    assert len(disk.synced) == 2
    sync.close_file(fd)
    sync.stop()


async def test_a_later_record_is_not_safe_because_an_earlier_one_is(disk: Disk, fd: int) -> None:
    sync = GroupSync(disk.sync)
    sync.start()
    sync.wrote(fd, 1)
    assert await asyncio.to_thread(disk.began.acquire, timeout=5)
    sync.wrote(fd, 2)
    late = asyncio.ensure_future(sync.synced(3))
    disk.may_finish.set()
    await sync.synced(2)
    assert not late.done()
    sync.close_file(fd)
    sync.stop()
    late.cancel()
    await asyncio.wait({late})


async def test_after_a_failed_sync_nothing_is_called_safe_until_there_is_a_new_file(
    disk: Disk, fd: int, tmp_path: Path
) -> None:
    """After an error nobody knows which pages the kernel dropped: trying again proves nothing."""
    sync = GroupSync(disk.sync)
    sync.start()
    disk.error = OSError(errno.EIO, "Input/output error")
    disk.may_finish.set()
    sync.wrote(fd, 1)
    with pytest.raises(LayerUnavailable):
        await sync.synced(1)
    disk.error = None
    sync.wrote(fd, 2)
    with pytest.raises(LayerUnavailable):
        await sync.synced(2)
    sync.wrote(fd, 2)
    sync.created(tmp_path)

    async def healed() -> bool:
        try:
            await sync.synced(2)
        except LayerUnavailable:
            return False
        return True

    async with asyncio.timeout(5):
        while not await healed():
            await asyncio.sleep(0.01)
    sync.close_file(fd)
    sync.stop()


async def test_a_closed_file_was_synced_before_and_the_thread_ends(disk: Disk, fd: int) -> None:
    before = threading.active_count()
    sync = GroupSync(disk.sync)
    sync.start()
    sync.start()
    sync.wrote(fd, 1)
    sync.close_file(fd)
    sync.stop()
    sync.stop()
    assert is_open(fd)
    disk.may_finish.set()
    await wait_for(lambda: not is_open(fd))
    assert disk.synced[-1] == fd
    await wait_for(lambda: threading.active_count() <= before)
