"""What fails any test: a leaked thread, task or process, a blocking call, a far socket.

Imported by tests/conftest.py, which makes the fixtures known to every test.
"""

import asyncio
import ipaddress
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster

from devtools import processes

OUR_PACKAGES = ["voice_agent", "backend", "backend_client"]
MAY_BLOCK = [
    # The one exception of the style's rule 22: one inline write of one record.
    ("voice_agent/state/outbox.py", {"_write"}),
    # asyncpg looks for a client's certificate each time it connects: some stat() calls.
    ("asyncpg/connect_utils.py", {"_parse_connect_arguments"}),
]
PATIENCE_S = 2.0
MULTIPROCESSING = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers that Python itself keeps until the interpreter ends."""


class SocketOffLoopback(AssertionError):
    """A test spoke to another machine."""


@pytest.fixture(scope="session", autouse=True)
def sockets_stay_on_loopback() -> Iterator[None]:
    """Connecting elsewhere fails at once, in this process."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_near(address[0]):
                raise SocketOffLoopback(f"a test tried to reach {address!r}")
            return method(self, address)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


def _is_near(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def nothing_outlives_the_test() -> Iterator[None]:
    """Threads and child processes that a test or its fixtures started end with it."""
    threads, children = set(threading.enumerate()), _children()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while (left := _left(threads, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if left:
        pytest.fail(f"left behind by this test: {', '.join(left)}")


def _left(threads: set[threading.Thread], children: set[int]) -> list[str]:
    new = [one for one in set(threading.enumerate()) - threads if one.is_alive()]
    # The loop's own pool ends with the loop, which may end after this fixture.
    held = [f"thread {one.name}" for one in new if not one.daemon and "asyncio_" not in one.name]
    for pid in _children() - children:
        # A process that has just begun may have no command line yet: it counts.
        command = _command(pid)
        if processes.started(pid) and not any(name in command for name in MULTIPROCESSING):
            held.append(f"process {pid} ({command[:120]})")
    return held


def _children() -> set[int]:
    """Direct children of this process; nothing where there is no /proc."""
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, task.read_text().split()))
        except OSError:
            continue
    return found


def _command(pid: int) -> str:
    """The command line; empty for a process that has ended, or is just beginning."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


@cache
def _blockbuster() -> BlockBuster:
    blocking = BlockBuster(OUR_PACKAGES)
    for file, functions in MAY_BLOCK:
        for one in blocking.functions.values():
            one.can_block_in(file, functions)
    return blocking


@pytest.fixture
def blocking_calls_fail() -> Iterator[None]:
    """A call that blocks the loop, made by our own code, raises where it is made."""
    blocking = _blockbuster()
    blocking.activate()
    yield
    blocking.deactivate()


@pytest.fixture
async def no_task_outlives_the_test() -> AsyncIterator[None]:
    """Tasks that an async test or its fixtures started end with it."""
    before = asyncio.all_tasks()
    yield
    this = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not this}
    if left:
        _, left = await asyncio.wait(left, timeout=PATIENCE_S)
    if left:
        names = ", ".join(sorted(_task_name(task) for task in left))
        pytest.fail(f"tasks left behind by this test: {names}")


def _task_name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"


def guard_async_tests(items: list[pytest.Item]) -> None:
    """Put the guards of async tests first, so that they end last."""
    for item in items:
        if isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.function):
            item.fixturenames[:0] = ["no_task_outlives_the_test", "blocking_calls_fail"]


def forget_our_settings(names: tuple[str, ...]) -> None:
    """Drop what a sourced ``.run/env`` left in this shell: tests choose their settings."""
    for name in [one for one in os.environ if one.startswith(names)]:
        del os.environ[name]


def survivors(mark: str) -> list[str]:
    """End what still carries this session's mark; return what it was."""
    left = {one: _command(one.pid) for one in processes.marked(mark)}
    ours = {one: text for one, text in left.items() if not any(m in text for m in MULTIPROCESSING)}
    processes.end(ours, patience_s=2.0)
    return [f"{one.pid}: {text[:160]}" for one, text in ours.items()]
