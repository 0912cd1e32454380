"""What a person at the terminal reads: steps with their time, and a sign of life in between."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_S = 20.0
"""Without a terminal (CI) a sign of life comes this often; on one, every second."""

_writing = threading.RLock()
_status = ""


def say(line: str = "") -> None:
    """Print one line above the status line."""
    with _writing:
        _clear()
        sys.stdout.write(line + "\n")
        _show(_status)


def complain(line: str) -> None:
    """Print one line to stderr."""
    with _writing:
        _clear()
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
        _show(_status)


def _clear() -> None:
    if _status and sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")


def _show(status: str) -> None:
    if status and sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K" + status)
    sys.stdout.flush()


def _set_status(status: str) -> None:
    global _status  # noqa: PLW0603 - there is one terminal
    with _writing:
        _clear()
        _status = status
        _show(status)


class Progress:
    """The steps under way; several may run at once."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the block runs, and how long it took."""
        began_at = time.monotonic()
        with self._lock:
            self._began[title] = began_at
        say(f"  {title} ...")
        try:
            yield
        except BaseException:
            say(f"  {title}: failed after {time.monotonic() - began_at:.0f} s")
            raise
        else:
            say(f"  {title}: done in {time.monotonic() - began_at:.0f} s")
        finally:
            with self._lock:
                del self._began[title]

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Keep signs of life coming while the block runs."""
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(ended,), name="progress", daemon=True)
        ticker.start()
        try:
            yield self
        finally:
            ended.set()
            ticker.join()
            _set_status("")

    def _tick(self, ended: threading.Event) -> None:
        live = sys.stdout.isatty()
        while not ended.wait(1.0 if live else QUIET_S):
            now = time.monotonic()
            with self._lock:
                steps = [f"{title} {now - at:.0f} s" for title, at in self._began.items()]
            if steps and live:
                _set_status("  ... " + " · ".join(steps))
            elif steps:
                say("  ... still working: " + ", ".join(steps))
