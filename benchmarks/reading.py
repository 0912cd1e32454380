"""Following a conversation live.

    python -m benchmarks.reading [--quick]

From the moment a writer sends an event to the moment a reader has it, over HTTP on one host; then
a thousand readers of the same conversation. Readers, writer and backend share the machine's cores.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from backend_client import BackendClient, backend_http
from benchmarks import machine
from benchmarks.figures import Figure, conclude, median, parser, percentile
from benchmarks.ingest import lane, recorded
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.server import Place, clean_environment

MANY = 1_000
WRITES_PER_S = 20.0
_BLOCK = re.compile(rb"^id: (\d+)$", re.MULTILINE)


@dataclass(slots=True)
class StreamReader:
    """One reader: a bare socket, so that reading costs as little as it can."""

    arrived: dict[int, float] = field(default_factory=dict)
    writer: asyncio.StreamWriter | None = None

    async def open(self, url: str, path: str, token: str) -> Self:
        """Ask for the stream; it is open when this returns."""
        at = urlsplit(url)
        self._reader, self.writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.writer.write(head.encode())
        status = await self._reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in status.split(b"\r\n")[0], status
        return self

    async def run(self) -> None:
        """Note when each position arrives."""
        while data := await self._reader.read(65_536):
            now = time.perf_counter()
            for found in _BLOCK.findall(data):
                self.arrived.setdefault(int(found), now)

    _reader: asyncio.StreamReader = field(init=False)


async def delays(backend: Backend, reader_count: int, writes: int) -> list[float]:
    """Return the seconds from writing to reading, of every event at every reader."""
    async with (
        backend_http(url=backend.url, token=backend.token, timeout_s=20.0) as http,
        asyncio.TaskGroup() as group,
        AsyncExitStack() as stack,
    ):
        client = BackendClient(http, timeout_s=20.0)
        one = await lane(client, 1)
        path = f"/v1/conversations/{one.conversation_id}/events/stream"
        readers = []
        for _ in range(reader_count):
            reader = await StreamReader().open(backend.url, path, backend.token)
            stack.callback(group.create_task(reader.run()).cancel)
            readers.append(reader)
        sent = []
        for event in recorded(writes):
            sent.append(time.perf_counter())
            await client.store_events(one.conversation_id, one.writer_id, [event])
            await asyncio.sleep(1 / WRITES_PER_S)
        deadline = time.perf_counter() + 10
        while min(len(each.arrived) for each in readers) < writes:
            assert time.perf_counter() < deadline, "events are missing"
            await asyncio.sleep(0.02)
        for each in readers:
            if each.writer is not None:
                each.writer.close()
    return [each.arrived[n] - at for each in readers for n, at in enumerate(sent, 1)]


def live_figures(folder: Path, *, quick: bool) -> list[Figure]:
    """Measure the live streams."""
    ports = Ports()
    place = Place(folder=folder, environ=clean_environment())
    made = []
    with Backend(place, port=ports.free(), metrics_port=ports.free()) as backend:
        asyncio.run(delays(backend, 1, 5))  # warm
        plan = ((1, 300), (MANY, 100)) if not quick else ((1, 20), (50, 10))
        for count, writes in plan:
            took = asyncio.run(delays(backend, count, writes))
            made.append(
                Figure(
                    name=f"write to reader, p99, {count} reader(s) of one conversation, ms",
                    value=percentile(took, 0.99) * 1e3,
                    at_most=50 if count == 1 else None,
                    detail=f"median {median(took) * 1e3:.1f} ms; {WRITES_PER_S:.0f} a second",
                )
            )
    return made


def main() -> int:
    """Run the program."""
    args = parser("Following a conversation live.").parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        machine.wait_quiet(args.patience_s)
        figures = live_figures(Path(name), quick=args.quick)
    return conclude(f"Reading ({machine.described()})", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
