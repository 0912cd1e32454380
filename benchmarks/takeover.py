"""How long a new process needs to know what a conversation was about.

    python -m benchmarks.takeover [--quick]

Conversations of 500 events lie in Redis and in the backend (SQLite). For each figure a process that
has never seen them reads the last 20 messages of each one, over new connections: once from Redis,
once from the backend. The first one of a process is shown apart: it pays for what is cold.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from backend_client import BackendClient, backend_http
from benchmarks import machine
from benchmarks.bare import BATCH
from benchmarks.figures import Figure, conclude, median, parser, percentile
from benchmarks.ingest import lane
from devtools.paths import ROOT
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.server import Place, clean_environment
from devtools.servers.valkey import ValkeyServer
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.ids import WriterId
from voice_agent.state.hot_cache import HotCache, Scribe
from voice_agent.state.hot_client import HotClient, RedisPlace, connect
from voice_agent.state.keys import Keys
from voice_agent.state.ports import Registration

BATCHES = 10
TENANT = "bench"


async def prepare(count: int, *, url: str, token: str, redis: str) -> list[dict[str, Any]]:
    """Make ``count`` conversations in both layers; say what their successor is told."""
    client = HotClient(connect(RedisPlace(url=redis)), clock=SystemClock(), timeout_s=5.0)
    cache = HotCache(client, Keys(tenant=TENANT), ttl_s=3600, most=2_000)
    told: list[dict[str, Any]] = []
    async with backend_http(url=url, token=token, timeout_s=30.0) as http:
        backend = BackendClient(http, timeout_s=30.0)
        for _ in range(count):
            one = await lane(backend, BATCHES)
            again = Registration(writer_id=one.writer_id, started_at="2026-11-21T04:00:00.000Z")
            grant = await backend.register_writer(one.conversation_id, again)
            scribe = Scribe(
                writer_id=WriterId(one.writer_id), fence=grant.fence, header=b"{}", is_first=True
            )
            for number, batch in enumerate(one.batches):
                await backend.store_events(one.conversation_id, one.writer_id, batch)
                numbered = [_in_session(data) for data in batch]
                await cache.append(one.conversation_id, scribe, 1 + number * BATCH, numbered)
            told.append({"id": one.conversation_id, "writer_id": one.writer_id,
                         "fence": grant.fence, "last_ordinal": BATCHES * BATCH})  # fmt: skip
    await client.aclose()
    return told


def _in_session(data: bytes) -> bytes:
    """As the job of a registered writer records it."""
    return data[:-1] + b',"session_number":0}'


def taken_over(layer: str, told: list[dict[str, Any]], environ: dict[str, str]) -> list[float]:
    """Have a new process read them back; return how long each took (ms)."""
    answered = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers.successor", layer],
        cwd=ROOT, env=environ, check=True, text=True, stdout=subprocess.PIPE,
        input="".join(json.dumps(one) + "\n" for one in told),
    )  # fmt: skip
    read = [json.loads(line) for line in answered.stdout.splitlines()]
    assert all(one["source"] == layer and one["count"] == 20 for one in read), read[:3]
    return [float(one["took_ms"]) for one in read]


def figure(layer: str, took: list[float], at_most: float) -> list[Figure]:
    """Make the figures of one layer."""
    return [
        Figure(
            name=f"restore from {layer}, ms",
            value=median(took[1:]),
            at_most=at_most,
            detail=f"p99 {percentile(took[1:], 0.99):.1f}; {len(took) - 1} conversations",
        ),
        Figure(name=f"the first one of its process, {layer}, ms", value=took[0], at_most=at_most),
    ]


def main() -> int:
    """Run the program."""
    args = parser("Taking a conversation over in another process.").parse_args()
    ports = Ports()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        place = Place(folder=Path(name), environ=clean_environment())
        with (
            Backend(place, port=ports.free(), metrics_port=ports.free()) as backend,
            ValkeyServer(place, port=ports.free()) as valkey,
        ):
            told = asyncio.run(
                prepare(
                    3 if args.quick else 60,
                    url=backend.url,
                    token=backend.token,
                    redis=valkey.url,
                )
            )
            environ = {
                **clean_environment(), **valkey.env, "BACKEND_URL": backend.url,
                "BACKEND_TOKEN": backend.token, "VOICE_HOT_CACHE__TENANT": TENANT,
            }  # fmt: skip
            machine.wait_quiet(args.patience_s)
            found = figure("redis", taken_over("redis", told, environ), 20.0)
            found += figure("backend", taken_over("backend", told, environ), 150.0)
    return conclude(f"Takeover ({machine.described()})", found, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
