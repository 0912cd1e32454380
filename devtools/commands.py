"""Other programs, run with their output in a log file and ended with us."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from devtools.errors import DevError
from devtools.paths import ROOT, shown

TAIL_LINES = 12

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_stopped = threading.Event()


def run_logged(
    argv: Sequence[str | Path],
    *,
    log: Path,
    hint: str,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> None:
    """Run a command with its output appended to ``log``.

    Raises:
        DevError: it failed; the sentence is ``hint``, the details are the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(("$ " + " ".join(map(str, argv)) + "\n").encode())
        out.flush()
        code = _run(argv, out.fileno(), env, cwd)
    if code:
        raise DevError(
            f"{hint} (exit code {code}; all of it in {shown(log)})", details=tail(log, TAIL_LINES)
        )


def _run(argv: Sequence[str | Path], out: int, env: Mapping[str, str] | None, cwd: Path) -> int:
    with _lock:
        if _stopped.is_set():
            raise DevError("stopped")
        try:
            # Its own group, so that a Ctrl-C ends it through stop_all, whole.
            child = subprocess.Popen(
                [str(arg) for arg in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as exc:
            raise DevError(f"cannot start {argv[0]}: {exc.strerror}") from exc
        _running.add(child)
    try:
        return child.wait()
    finally:
        with _lock:
            _running.discard(child)


def stop_all() -> None:
    """End every command that is under way, with its children; start no more."""
    with _lock:
        _stopped.set()
        for child in _running:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)


def output_of(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str | None:
    """Return what a short command prints, or None when it cannot be run."""
    try:
        done = subprocess.run(
            [str(arg) for arg in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=env,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def tail(log: Path, lines: int) -> str:
    """Return the last lines of a log, or nothing when there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 64 * 1024))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(plain(line) for line in text.splitlines()[-lines:])


def plain(line: str) -> str:
    """Return a log line as a person reads it: of a JSON record the level, message and error."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    words = [record.get(name) for name in ("level", "message", "msg", "error", "exc_info")]
    return " ".join(str(word) for word in words if word) or line
