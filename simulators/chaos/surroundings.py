"""What is around the calls: backend, Redis and relay, real processes, and the network between."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from devtools.paths import ROOT
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.server import Place, Server, clean_environment
from devtools.servers.valkey import ValkeyServer
from simulators.fault_proxy import FaultProxy, Target

RESTART_S = 0.05
DRAIN_S = 15.0


class KeptRelay:
    """``agent.py relay``, started again whenever it dies, as the worker does."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self.start_count = 0
        self._environ = environ
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._started = asyncio.Event()

    async def keep(self) -> None:
        """Run it until ``stop``."""
        while not self._stopping:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "agent.py", "relay", cwd=ROOT, env=self._environ,
                    stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            self.start_count += 1
            self._started.set()
            await self._process.wait()
            self._started.clear()
            await asyncio.sleep(RESTART_S)

    async def kill(self) -> None:
        """End it as a crash does."""
        await self._started.wait()
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop_at_once(self) -> None:
        """End it as a lost machine does, for good."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def stop(self) -> int:
        """Ask it to drain and end; its exit code."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DRAIN_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()


class Surroundings:
    """``async with Surroundings(folder) as it``: backend, Redis, relay and proxies run."""

    def __init__(self, folder: Path, *, with_relay: bool = True) -> None:
        self.folder = folder
        self.outbox = folder / "outbox"
        ports = Ports()
        self.backend = Backend(
            Place(folder=folder, environ=clean_environment()),
            port=ports.free(),
            metrics_port=ports.free(),
        )
        self.redis = ValkeyServer(
            Place(folder=folder / "redis", environ=clean_environment()), port=ports.free()
        )
        self.proxy = FaultProxy(Target(host="127.0.0.1", port=self.backend.port))
        self.redis_proxy = FaultProxy(Target(host="127.0.0.1", port=self.redis.port))
        self.environ: dict[str, str] = {}
        self.relay = KeptRelay(self.environ, folder / "logs" / "relay.log")
        self._with_relay = with_relay
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.outbox.mkdir(parents=True)
        await asyncio.to_thread(self.backend.start)
        await asyncio.to_thread(self.redis.start)
        await self.proxy.__aenter__()
        await self.redis_proxy.__aenter__()
        token = await asyncio.to_thread(self.backend.create_token, "agent")
        self.environ.update(
            clean_environment()
            | {
                "BACKEND_URL": self.proxy.url,
                "BACKEND_TOKEN": token,
                "REDIS_URL": self.redis.url.replace(
                    f":{self.redis.port}/", f":{self.redis_proxy.port}/"
                ),
                "VOICE_OUTBOX__FOLDER": str(self.outbox),
                "VOICE_RELAY__METRICS_PORT": "0",
                "PYTHONPATH": str(ROOT),
            }
        )
        if self._with_relay:
            self._keeping = asyncio.get_running_loop().create_task(self.relay.keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._keeping is not None:
            await self.relay.stop()
            await self._keeping
        await self.redis_proxy.__aexit__(kind, exc, at)
        await self.proxy.__aexit__(kind, exc, at)
        await asyncio.to_thread(self.redis.stop)
        await asyncio.to_thread(self.backend.stop)

    async def kill_server(self, server: Server, *, down_s: float) -> None:
        """End a server as a power cut does, and start it again. Redis has then forgotten all."""
        await asyncio.to_thread(server.kill9)
        await asyncio.sleep(down_s)
        await asyncio.to_thread(server.start)

    def undelivered(self) -> list[str]:
        """Names of the outbox files that are not settled."""
        return sorted(path.name for path in self.outbox.glob("*.outbox"))
