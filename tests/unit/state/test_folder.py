"""The outbox folder: one relay, and what a dead writer left is found."""

import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

from voice_agent.state.folder import AnotherRelay, Doorbell, FolderLock, only_relay_of, outboxes

LONG_AGO_S = 1_000.0


def test_a_lock_follows_a_folder_that_was_deleted_and_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    with only_relay_of(folder) as lock:
        shutil.rmtree(folder)
        lock.keep()  # nobody has made it anew yet: nothing to lock
        assert not folder.exists()
        folder.mkdir()
        lock.keep()
        with pytest.raises(AnotherRelay):
            FolderLock(folder).take()


def test_who_comes_second_to_a_folder_made_anew_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    with only_relay_of(folder) as lock:
        shutil.rmtree(folder)
        with only_relay_of(folder), pytest.raises(AnotherRelay):
            lock.keep()


def test_the_lock_names_its_process_and_ends_with_it(tmp_path: Path) -> None:
    with only_relay_of(tmp_path):
        assert (tmp_path / "relay.lock").read_text() == str(os.getpid())
    with only_relay_of(tmp_path):
        pass


def test_a_doorbell_says_when_its_folder_was_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    bell = Doorbell(folder)
    bell.open()
    assert not bell.is_gone()
    shutil.rmtree(folder)
    assert not bell.is_gone()
    folder.mkdir()
    assert bell.is_gone()
    bell.close(unlink=False)
    bell.open()
    assert not bell.is_gone()
    bell.close(unlink=True)
    assert list(folder.iterdir()) == []


def test_a_file_that_died_before_it_got_its_name_is_adopted_when_its_writer_is_gone(
    tmp_path: Path,
) -> None:
    fresh = tmp_path / "w1.fresh"
    fresh.write_bytes(b"header and events")
    now_s = time.time()
    assert outboxes(tmp_path, now_s=now_s) == []  # its writer may need a moment
    fd = os.open(fresh, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert outboxes(tmp_path, now_s=now_s + LONG_AGO_S) == []  # its writer lives
    os.close(fd)
    assert outboxes(tmp_path, now_s=now_s + LONG_AGO_S) == [tmp_path / "w1.outbox"]


def test_adopting_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "w1.outbox").write_bytes(b"words")
    (tmp_path / "w1.fresh").write_bytes(b"")
    outboxes(tmp_path, now_s=time.time() + LONG_AGO_S)
    assert (tmp_path / "w1.outbox").read_bytes() == b"words"
