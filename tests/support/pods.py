"""Pods below the audio: each has an outbox folder, a relay and job processes of its own.

Real processes that share a backend and a Redis, and may be killed, paused or lost with their disk.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from devtools.paths import ROOT
from devtools.servers.server import clean_environment
from simulators.chaos.surroundings import KeptRelay
from simulators.fault_proxy import FaultProxy

WITHIN_S = 25.0
MakePod = Callable[..., "Pod"]
"""A pod by its name; keywords go into its environment, an empty value takes a name out of it."""


class ScriptedJob:
    """A job process whose caller is the test (``simulators.script_job``)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def remembered(self) -> list[str]:
        """What it read back of the conversation before it began."""
        return list(self.ready["remembered"])

    async def load(self) -> Self:
        """Wait until it serves the call."""
        self.ready = await self.shows("ready")
        return self

    async def say(self, *tokens: str) -> None:
        """Say something and wait for the answer, again and again."""
        for token in tokens:
            self._tell({"say": token})
            await self.shows("answered")

    async def hang_up(self) -> str:
        """Hang up; wait until the process has ended; why it left."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.close()
        left = await self.shows("left")
        await self._process.wait()
        return str(left["left"])

    async def shows(self, name: str, *, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Wait for a line of it that has ``name``."""
        return await self.shows_one_of(name, within_s=within_s)

    async def shows_one_of(self, *names: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Wait for a line of it that has one of ``names``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            while line := await self._process.stdout.readline():
                shown: dict[str, Any] = json.loads(line)
                if any(name in shown for name in names):
                    return shown
        raise AssertionError(f"the job ended before it showed {names!r}")

    async def kill(self) -> None:
        """End it as a crash does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def _tell(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")


class Pod:
    """``async with Pod(folder, environ) as pod``: its relay runs."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], *, with_relay: bool = True
    ) -> None:
        """``environ``: BACKEND_URL, BACKEND_TOKEN and whatever else its programs need."""
        self.outbox = folder / "outbox"
        self.log_path = folder / "pod.log"
        self._environ = {
            **clean_environment(),
            "VOICE_OUTBOX__FOLDER": str(self.outbox),
            "VOICE_RELAY__METRICS_PORT": "0",
            "PYTHONPATH": str(ROOT),
            **environ,
        }
        self._jobs: list[ScriptedJob] = []
        self._with_relay = with_relay
        self.relay = KeptRelay(self._environ, self.log_path)
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.outbox.mkdir(parents=True)
        if self._with_relay:
            self._keeping = asyncio.get_running_loop().create_task(self.relay.keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        for job in self._jobs:
            await job.kill()
        if self._keeping is not None:
            await self.relay.stop()
            await self._keeping

    async def dial(self, key: str, *, conversation: str | None = None) -> ScriptedJob:
        """Start the process of a call; ``load`` waits for it."""
        pointer = ("--conversation", conversation) if conversation else ()
        with self.log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "simulators.script_job", "--key", key, *pointer,
                cwd=ROOT, env=self._environ, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        job = ScriptedJob(process)
        self._jobs.append(job)
        return job

    async def lose(self) -> None:
        """The machine is gone: every process at once, and the disk."""
        for job in self._jobs:
            with suppress(ProcessLookupError):
                os.kill(job.pid, signal.SIGKILL)
        if self._keeping is not None:
            await self.relay.stop_at_once()
            await self._keeping
            self._keeping = None
        await asyncio.to_thread(shutil.rmtree, self.outbox)

    def logged(self, line: str) -> list[dict[str, Any]]:
        """What its programs logged with the words ``line``, as far as it is JSON."""
        found: list[dict[str, Any]] = []
        for each in self.log_path.read_text(encoding="utf-8").splitlines():
            if line in each:
                try:
                    found.append(json.loads(each))
                except ValueError:
                    found.append({"message": each})
        return found


@pytest.fixture
def make_pod(tmp_path: Path, proxy: FaultProxy, token: str) -> MakePod:
    """Make a pod whose backend is behind ``proxy``; without Redis unless told."""

    def make(name: str, *, with_relay: bool = True, **environ: str) -> Pod:
        folder = tmp_path / name
        folder.mkdir()
        told = {"BACKEND_URL": proxy.url, "BACKEND_TOKEN": token, **environ}
        kept = {name: value for name, value in told.items() if value}
        return Pod(folder, kept, with_relay=with_relay)

    return make
