"""Processes: ended by id and start time, so that a stranger with a reused id is safe."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from devtools import processes
from devtools.processes import MARK, Process
from tests.support.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    "time.sleep(600)",
]


@pytest.fixture
def start() -> Iterator[object]:
    """Start programs that print a line once they are set."""
    begun: list[subprocess.Popen[bytes]] = []

    def one(command: list[str], **more: object) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, **more)  # type: ignore[call-overload]
        assert child.stdout
        child.stdout.readline()
        begun.append(child)
        return child

    yield one
    for child in begun:
        child.kill()
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]


def of(child: subprocess.Popen[bytes]) -> Process:
    found = processes.process(child.pid)
    assert found is not None
    return found


def test_a_reused_id_is_not_killed(start) -> None:
    child = start(SLEEP)
    stranger = Process(pid=child.pid, started="1")  # as if it had started at another time
    assert not stranger.lives()
    assert processes.end([stranger], patience_s=0.1) == 0
    assert child.poll() is None


def test_a_stubborn_process_is_killed_after_the_patience(start) -> None:
    child = start(STUBBORN)
    assert processes.end([of(child)], patience_s=0.2) == 1
    assert child.wait(5) == -signal.SIGKILL


def test_a_willing_process_ends_by_sigterm(start) -> None:
    child = start(SLEEP)
    processes.end([of(child)], patience_s=5.0)
    assert child.wait(5) == -signal.SIGTERM


def test_a_zombie_does_not_count_as_alive(start) -> None:
    child = start(SLEEP)
    one = of(child)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not one.lives())  # not waited for yet: it is a zombie


def test_a_mark_is_found_on_a_process_that_detached_itself(start) -> None:
    mark = processes.new_mark()
    environ = {**os.environ, MARK: f"{mark}/worker"}
    child = start(SLEEP, env=environ, start_new_session=True)
    start(SLEEP, env={**os.environ, MARK: f"{mark}0/worker"})  # another system's
    assert [one.pid for one in processes.marked(mark)] == [child.pid]
    assert [one.pid for one in processes.marked(f"{mark}/worker")] == [child.pid]
