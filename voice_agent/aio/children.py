"""Child processes that are kept alive: started, watched, restarted with back-off, stopped.

If this process is killed the children see it themselves (their parent changes); they are not its
hostages.
"""

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock

log = logging.getLogger(__name__)

HEALTHY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCommand:
    """One child. ``stop_s``: how long it may take from SIGTERM to its end.

    ``done_code``: an exit code that means it need not be started again (another one runs).
    """

    name: str
    args: Sequence[str]
    env: Mapping[str, str] | None = None
    stop_s: float = 5.0
    done_code: int | None = None


class Child:
    """One child process, kept alive until ``stop``."""

    def __init__(self, command: ChildCommand, *, clock: Clock, backoff: Backoff) -> None:
        self._command = command
        self._clock = clock
        self._backoff = backoff
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep(self) -> None:
        """Run the child; start it again whenever it ends, until ``stop``."""
        attempt = 0
        while not self._stopping.is_set():
            began_s = self._clock.monotonic_s()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if code == self._command.done_code:
                await self._clock.sleep(self._backoff.cap_s)
                continue
            lived_s = self._clock.monotonic_s() - began_s
            attempt = 0 if lived_s > HEALTHY_AFTER_S else attempt + 1
            log.error(
                "child process ended and is started again",
                extra={"child": self._command.name, "exit_code": code, "attempt": attempt},
            )
            await self._clock.sleep(self._backoff.delay_s(attempt))

    async def stop(self) -> None:
        """Ask the child to end (SIGTERM); kill it after ``stop_s`` seconds."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._command.stop_s):
                await process.wait()
        except TimeoutError:
            log.warning("child process did not end in time", extra={"child": self._command.name})
            process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        # its own session: a Ctrl-C in the terminal reaches it through us, in the right order
        self._process = await asyncio.create_subprocess_exec(
            *self._command.args, env=self._command.env, start_new_session=True
        )
        return await self._process.wait()
