"""What our program adds to a turn, beside a bare AgentSession, also while the backend hangs.

    python -m benchmarks.turn_overhead [--turns N] [--calls N] [--quick]

Real rooms, the same sentences to both by turns. Each call has two halves: in the second one the
backend's process is stopped (SIGSTOP: it accepts and never answers), so that whatever a reply waits
for of it is heard. The time in our handlers is what the worker counts in production
(``voice_turn_overhead_seconds``): all handlers from one listening to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import machine
from benchmarks.contenders import Arena, Contender, arena
from benchmarks.figures import Figure, conclude, median, parser
from benchmarks.turn_latency import SENTENCES, Times, dial, paired, spread

OVERHEAD = "voice_turn_overhead_seconds"
MOST_S = 0.005
HALVES = ("backend answers", "backend hangs")


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def buckets(url: str) -> dict[float, float]:
    """Read how many turns stayed within each number of seconds."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(rf'{OVERHEAD}_bucket{{le="([^"]+)"}} (\S+)', text)
    return {float(most_s): float(count) for most_s, count in found}


def within(counted: Mapping[float, float], share: float) -> float:
    """Return the bound (s) that this share of turns stayed below, as fine as the buckets are."""
    total = counted[float("inf")]
    return min(most_s for most_s, count in counted.items() if count >= share * total)


async def one_call(
    ring: Arena,
    contenders: Mapping[str, Contender],
    times: Mapping[str, Mapping[str, Times]],
    turns: int,
) -> None:
    """Call both, and say everything twice: with a backend that answers, and with one that hangs."""
    async with contextlib.AsyncExitStack() as open_:
        joins = times[HALVES[0]]
        lines = {name: await dial(open_, c, joins[name]) for name, c in contenders.items()}
        for half, noted in times.items():
            pause = contextlib.nullcontext()
            with stopped(ring.system.backend.pid) if half == HALVES[1] else pause:
                for number in range(turns):
                    sentence = SENTENCES[number % len(SENTENCES)]
                    for name, line in lines.items():
                        noted[name].heard.append(await line.turn(sentence))
                    told = "  ".join(f"{n} {noted[n].heard[-1]:.3f}" for n in lines)
                    print(f"  {half:16} {sentence:15} {told}", flush=True)


def figures(
    times: Mapping[str, Mapping[str, Times]], counted: Mapping[float, float]
) -> list[Figure]:
    """Return the table."""
    found = [
        Figure(
            name="time in our handlers, a turn, p99 below, ms",
            value=within(counted, 0.99) * 1e3,
            at_most=MOST_S * 1e3,
            detail=f"median below {within(counted, 0.5) * 1e3:g};"
            f" {counted[float('inf')]:.0f} turns, half of them without an answer of the backend",
        )
    ]
    for half, noted in times.items():
        ratios = paired(noted["ours"].heard, noted["bare"].heard)
        found.append(
            Figure(
                name=f"heard, {half}: ours / bare",
                value=median(ratios),
                detail=f"{median(noted['ours'].answered):.3f} / "
                f"{median(noted['bare'].answered):.3f} s; 90 %: {spread(ratios)};"
                f" unanswered {noted['ours'].missed} / {noted['bare'].missed}",
            )
        )
    joins = times[HALVES[0]]
    found.append(
        Figure(
            name="asked for a call to greeting heard: ours / bare",
            value=median(paired(joins["ours"].joins, joins["bare"].joins)),
            at_most=1.1,
            detail=f"{median(joins['ours'].joins):.3f} / {median(joins['bare'].joins):.3f} s",
        )
    )
    return found


async def measure(ring: Arena, *, calls: int, turns: int) -> dict[str, dict[str, Times]]:
    """Call both again and again; the first call warms up and is forgotten."""
    async with ring.contenders() as contenders:
        names: Sequence[str] = list(contenders)
        times = {half: {name: Times() for name in names} for half in HALVES}
        await one_call(ring, contenders, {HALVES[0]: {n: Times() for n in names}}, 1)
        for number in range(calls):
            order = names if number % 2 else list(reversed(names))
            await one_call(ring, {n: contenders[n] for n in order}, times, turns)
    return times


def main() -> int:
    """Run the program."""
    options = parser("What our program adds to a turn.")
    options.add_argument("--turns", type=int, default=6, help="sentences in each half of a call")
    options.add_argument("--calls", type=int, default=4)
    args = options.parse_args()
    calls, turns = (1, 1) if args.quick else (args.calls, args.turns)
    machine.wait_quiet(args.patience_s)
    with arena("bare") as ring:
        times = asyncio.run(measure(ring, calls=calls, turns=turns))
        counted = buckets(ring.system.worker.metrics_url)
    return conclude(
        f"Turn overhead ({machine.described()})", figures(times, counted), strict=args.strict
    )


if __name__ == "__main__":
    sys.exit(main())
