"""Whether a pool of connections survives calls that are cancelled again and again.

    python -m benchmarks.pools [--quick]

A person who interrupts cancels what is under way. More requests than a pool has connections are
begun and cancelled after some milliseconds, 100 times; then as many requests as it has connections
must be answered at once. ``plain`` is httpx with its own transport and the same limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from aiohttp import web
from httpx_aiohttp import AiohttpTransport

from backend_client.transport import CONNECTIONS, backend_http
from benchmarks import machine
from benchmarks.figures import Figure, conclude, median, parser

SMALL = 5
MORE = 7  # requests that find no free connection
PATHS = ("/0", "/0.002", "/0.3")  # when the answer comes (s)
LONGEST_S = 0.012
USABLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A way to make a client, and how many connections its pool has."""

    make: Callable[[str], httpx.AsyncClient]
    connections: int


def plain_http(url: str) -> httpx.AsyncClient:
    """Return a client with httpx's own transport."""
    limits = httpx.Limits(max_connections=SMALL)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=USABLE_S, trust_env=False)


def small_http(url: str) -> httpx.AsyncClient:
    """Return a client with our transport and the limits of ``plain_http``."""
    transport = AiohttpTransport(limits=httpx.Limits(max_connections=SMALL), trust_env=False)
    return httpx.AsyncClient(transport=transport, base_url=url, timeout=USABLE_S, trust_env=False)


def our_http(url: str) -> httpx.AsyncClient:
    """Return the client that the agent has."""
    return backend_http(url=url, token="none", timeout_s=USABLE_S)


PLAIN = Client(make=plain_http, connections=SMALL)
SMALL_OURS = Client(make=small_http, connections=SMALL)
OURS = Client(make=our_http, connections=CONNECTIONS)


async def answer(request: web.Request) -> web.Response:
    """Answer when the path says."""
    await asyncio.sleep(float(request.path[1:]))
    return web.Response(text="{}")


async def cancel_many(
    http: httpx.AsyncClient, connections: int, cycles: int, rng: random.Random
) -> None:
    """Begin and cancel."""
    for _ in range(cycles):
        tasks = [
            asyncio.create_task(http.post(rng.choice(PATHS), content=b"x" * 1024))
            for _ in range(connections + MORE)
        ]
        await asyncio.sleep(rng.uniform(0, LONGEST_S))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def is_usable(http: httpx.AsyncClient, connections: int) -> bool:
    """Whether every connection of the pool can be used, once the last answers have come."""
    await asyncio.sleep(0.5)
    try:
        async with asyncio.timeout(USABLE_S):
            answers = await asyncio.gather(*(http.post("/0") for _ in range(4 * connections)))
    except (TimeoutError, httpx.HTTPError):
        return False
    return all(answer.status_code == 200 for answer in answers)


async def usable_share(url: str, client: Client, *, pools: int, cycles: int) -> float:
    """Return the share of pools that were usable afterwards."""
    usable = 0
    for number in range(pools):
        http = client.make(url)
        await cancel_many(http, client.connections, cycles, random.Random(number))
        usable += await is_usable(http, client.connections)
        with contextlib.suppress(TimeoutError):  # a dead pool may not even close
            async with asyncio.timeout(1.0):
                await http.aclose()
    return usable / pools


async def request_us(url: str, client: Client, count: int) -> float:
    """Return the CPU time of one request (us), one after the other."""
    async with client.make(url) as http:
        spent: list[float] = []
        for _ in range(count):
            before = time.process_time()
            await http.post("/0", content=b"x" * 1024)
            spent.append(time.process_time() - before)
    return median(spent) * 1e6


async def run(*, pools: int, cycles: int) -> list[Figure]:
    """Measure both."""
    app = web.Application()
    app.router.add_post("/{after}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        shares = [
            await usable_share(url, client, pools=pools, cycles=cycles)
            for client in (OURS, SMALL_OURS, PLAIN)
        ]
        ours_us, plain_us = [await request_us(url, client, 100) for client in (SMALL_OURS, PLAIN)]
    finally:
        await runner.cleanup()
    return [
        Figure(name="usable pools, ours", value=shares[0], at_least=1.0, detail=f"{pools} pools"),
        Figure(name=f"the same with {SMALL} connections", value=shares[1], at_least=1.0),
        Figure(name=f"plain httpx with {SMALL} connections", value=shares[2]),
        Figure(
            name="CPU of a request with its answer, ours / plain httpx",
            value=ours_us / plain_us,
            detail=f"{ours_us:.0f} / {plain_us:.0f} us, server included",
        ),
    ]


def main() -> int:
    """Run the program."""
    args = parser("Connection pools after cancelled calls.").parse_args()
    pools, cycles = (1, 10) if args.quick else (10, 100)
    found = asyncio.run(run(pools=pools, cycles=cycles))
    title = f"Pools after {cycles} times that all calls were cancelled"
    return conclude(f"{title} ({machine.described()})", found, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
