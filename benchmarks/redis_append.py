"""Our append to Redis against the same script over a bare socket.

    python -m benchmarks.redis_append [--quick]

- ``append`` of one event of a kilobyte by ``HotCache`` (keys, redis-py, deadline, breaker) against
  the same EVALSHA with the same arguments, packed and parsed by hiredis on a bare asyncio stream;
  by turns, in blocks, on conversations of 10 to 10,000 events
- reading the last 20 events of 100 and of 10,000
- 50 events in one append against 50 appends

Valkey and client share the machine's cores; nothing is kept on disk.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hiredis

from benchmarks import machine, samples
from benchmarks.figures import Figure, conclude, median, parser, percentile
from devtools.ports import LOOPBACK, Ports
from devtools.servers.server import Place, clean_environment
from devtools.servers.valkey import ValkeyServer
from voice_agent.aio.clock import SystemClock
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.hot_cache import HotCache, Scribe
from voice_agent.state.hot_client import HotClient, RedisPlace, connect
from voice_agent.state.hot_scripts import APPEND
from voice_agent.state.keys import Keys

LENGTHS = (10, 100, 1_000, 10_000)
MOST = 20_000
TTL_S = 4 * 3600
BLOCK = 50
FILL = 500
KEYS = Keys(tenant="bench")
SCRIBE = Scribe(writer_id=WriterId("0" * 32), fence=1_763_700_000_000, header=b"{}")


class Bare:
    """The least an asyncio client can do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader()

    @classmethod
    async def connect(cls, url: str) -> Bare:
        """Connect and log in."""
        place = urlsplit(url)
        bare = cls(*await asyncio.open_connection(LOOPBACK, place.port))
        await bare.call("AUTH", place.password or "")
        await bare.call("SCRIPT", "LOAD", APPEND.text)
        return bare

    async def call(self, *words: Any) -> Any:  # Any: what Redis takes and answers
        """Send a command and return its answer."""
        self._writer.write(hiredis.pack_command(words))
        while (reply := self._parser.gets()) is False:
            self._parser.feed(await self._reader.read(65_536))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def append(self, talk: ConversationId, ordinal: int, data: bytes) -> None:
        """Do what ``HotCache.append`` does, without all that is ours."""
        answer = await self.call(
            "EVALSHA", APPEND.sha, 2, KEYS.head(talk), KEYS.tail(talk), SCRIBE.writer_id,
            SCRIBE.fence, SCRIBE.header, 0, TTL_S, MOST, ordinal, data,
        )  # fmt: skip
        assert answer[0] == b"stored", answer

    def close(self) -> None:
        """Close the socket."""
        self._writer.close()


async def timed(call: Callable[[int], Awaitable[object]], first: int, count: int) -> list[float]:
    """Return how long each call takes (s)."""
    took = []
    for n in range(first, first + count):
        began = time.perf_counter()
        await call(n)
        took.append(time.perf_counter() - began)
    return took


async def fill(cache: HotCache, talk: ConversationId, length: int, payloads: list[bytes]) -> None:
    """Make a conversation of ``length`` events."""
    for first in range(1, length + 1, FILL):
        run = [payloads[n % len(payloads)] for n in range(first, min(length, first + FILL - 1) + 1)]
        await cache.append(talk, SCRIBE, first, run)


async def measure_appends(
    cache: HotCache, bare: Bare, payloads: list[bytes], *, length: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Append by turns to two conversations; return ours and bare."""
    names = [ConversationId(f"{who}-{length}") for who in ("ours", "bare")]
    for name in names:
        await fill(cache, name, length, payloads)
    ours: list[float] = []
    plain: list[float] = []
    for block in range(rounds):
        # always near its length: what is measured must not grow by being measured
        at = length + 1 + block * BLOCK
        ours += await timed(
            lambda n: cache.append(names[0], SCRIBE, n, [payloads[n % len(payloads)]]), at, BLOCK
        )
        plain += await timed(
            lambda n: bare.append(names[1], n, payloads[n % len(payloads)]), at, BLOCK
        )
    return ours, plain


async def measure(url: str, rounds: int) -> list[Figure]:
    """Take all figures."""
    payloads = samples.encoded(64)
    client = HotClient(connect(RedisPlace(url=url)), clock=SystemClock(), timeout_s=5.0)
    cache = HotCache(client, KEYS, ttl_s=TTL_S, most=MOST)
    bare = await Bare.connect(url)
    found: list[Figure] = []
    medians: dict[int, float] = {}
    for length in LENGTHS:
        ours, plain = await measure_appends(cache, bare, payloads, length=length, rounds=rounds)
        medians[length] = median(ours)
        found.append(
            Figure(
                name=f"append / bare socket, {length:,} events",
                value=median(ours) / median(plain),
                at_most=3.0,
                detail=f"{median(ours) * 1e6:.0f} / {median(plain) * 1e6:.0f} us;"
                f" p99 {percentile(ours, 0.99) * 1e6:.0f} / {percentile(plain, 0.99) * 1e6:.0f} us",
            )
        )
    found.append(
        Figure(name="append, 10,000 / 10 events", value=medians[10_000] / medians[10], at_most=1.2)
    )
    reads = {
        length: await timed(
            lambda _, length=length: cache.read(ConversationId(f"ours-{length}"), most=20),  # type: ignore[misc]
            0,
            rounds * BLOCK // 2,
        )
        for length in (100, 10_000)
    }
    found.append(
        Figure(
            name="last 20, 10,000 / 100 events",
            value=median(reads[10_000]) / median(reads[100]),
            at_most=1.2,
            detail=f"{median(reads[10_000]) * 1e6:.0f} / {median(reads[100]) * 1e6:.0f} us",
        )
    )
    found.append(await measure_batches(cache, payloads, medians[100], rounds=rounds))
    bare.close()
    await client.aclose()
    return found


async def measure_batches(
    cache: HotCache, payloads: list[bytes], single_s: float, *, rounds: int
) -> Figure:
    """Append 50 at a time, as a feed that was behind does."""
    talk = ConversationId("batches")
    run = [payloads[n % len(payloads)] for n in range(BLOCK)]
    took = await timed(lambda n: cache.append(talk, SCRIBE, 1 + n * BLOCK, run), 0, rounds)
    each_s = median(took) / BLOCK
    return Figure(
        name="50 appends one by one / in one",
        value=single_s / each_s,
        at_least=3.0,
        detail=f"{1 / each_s:,.0f} events a second on one connection",
    )


def main() -> int:
    """Run the program."""
    args = parser("The hot tier's append against a bare socket.").parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as name:
        place = Place(folder=Path(name), environ=clean_environment())
        with ValkeyServer(place, port=Ports().free()) as valkey:
            machine.wait_quiet(args.patience_s)
            found = asyncio.run(measure(valkey.url, 2 if args.quick else 40))
    return conclude(f"Redis append ({machine.described()})", found, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
