"""Ctrl-C, SIGTERM and SIGHUP: the first asks to stop, the second insists."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Requests:
    """What the person at the terminal has asked for."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self.stopping = threading.Event()
        self.forcing = threading.Event()
        self._on_stop = on_stop

    def received(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if self.stopping.is_set():
            self.forcing.set()
        self.stopping.set()
        self._on_stop()


@contextmanager
def handled(requests: Requests) -> Iterator[None]:
    """Send the signals to ``requests`` for the length of the block."""
    before = {number: signal.signal(number, requests.received) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
