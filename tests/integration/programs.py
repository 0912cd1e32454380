"""``agent.py relay`` and a job process fed below the audio, as tests start them."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.backend.process import ROOT
from tests.integration.relaying import WITHIN_S

TOLD_S = 20.0


class RelayProgram:
    """``python agent.py relay`` of one outbox folder; its log is kept in a file."""

    def __init__(self, folder: Path, *, url: str, token: str, drain_s: float = 10.0) -> None:
        self.log = folder.parent / "relay.log"
        self._environ = {
            "PATH": os.environ["PATH"],
            "BACKEND_URL": url,
            "BACKEND_TOKEN": token,
            "VOICE_OUTBOX__FOLDER": str(folder),
            "VOICE_RELAY__METRICS_PORT": "0",
            "VOICE_RELAY__DRAIN_S": str(drain_s),
            "VOICE_CLIENT__TIMEOUT_S": "1",
        }

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start it; whatever is left of it at the end is killed."""
        with self.log.open("ab") as log:
            relay = subprocess.Popen(
                [sys.executable, "agent.py", "relay"], cwd=ROOT, env=self._environ, stderr=log
            )
            try:
                yield relay
            finally:
                relay.kill()
                relay.wait()

    def says(self, text: str) -> bool:
        """Whether its log has a line with ``text``."""
        return text in self.log.read_text()


def stop(relay: subprocess.Popen[bytes]) -> float:
    """Ask it to stop as a person or a pod does; return how long that took (s)."""
    began = time.monotonic()
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(timeout=WITHIN_S) == 0
    return time.monotonic() - began


class JobProgram:
    """One call's job process, its caller a pipe (``simulators.script_job``)."""

    def __init__(self, folder: Path, *, key: str, url: str, token: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulators.script_job", "--key", key],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "BACKEND_URL": url,
                "BACKEND_TOKEN": token,
                "VOICE_OUTBOX__FOLDER": str(folder),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder.parent / "job.log").open("ab"),
        )
        self.log = folder.parent / "job.log"
        ready = self.told("ready")
        self.conversation_id = str(ready["ready"])
        self.path = folder / f"{ready['writer']}.outbox"

    def told(self, name: str) -> dict[str, Any]:
        """Read what the caller is shown until ``name`` is among it."""
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, f"the job ended before {name}: {self.log.read_text()}"
            shown: dict[str, Any] = json.loads(line)
            if name in shown:
                return shown

    def say(self, text: str) -> None:
        """Say something and hear the answer to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"say": text}).encode() + b"\n")
        self._process.stdin.flush()
        assert self.told("answered")["answered"] == text

    def ask(self, text: str) -> None:
        """Say something that is thought about for longer than any test takes."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"say": text, "think_ms": 600_000}).encode() + b"\n")
        self._process.stdin.flush()
        assert self.told("heard")["heard"] == text

    def leave_room_for(self, size_bytes: int) -> None:
        """Let no file of the process grow by more than this: its disk is full."""
        most = self.path.stat().st_size + size_bytes
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def free_the_disk(self) -> None:
        """There is room again."""
        none = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, none)

    def hang_up(self) -> None:
        """Leave, and wait until the process is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=TOLD_S) == 0

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
