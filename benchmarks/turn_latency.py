"""From the end of a caller's speech to the agent's first sound, in real rooms, heard.

    python -m benchmarks.turn_latency [--turns N] [--calls N] [--also live] [--quick]

Called in turn, one call at a time: our system; ``bare``, the same AgentSession without our
program round it; ``plain``, the same voices with livekit-agents' defaults (workers/jobs.py). Time
runs from the last loud 10 ms handed to WebRTC to the first loud 10 ms of the agent's track, so
nothing that the framework leaves out of its own figures is left out here.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.contenders import STAGES, Contender, arena
from benchmarks.figures import Figure, conclude, median, parser, percentile
from simulators.caller import Caller

SPEECH = Path(__file__).parents[1] / "tests" / "fixtures" / "speech"
SENTENCES = ("name.wav", "time_tokyo.wav", "my_home.wav", "my_name.wav", "time.wav", "unknown.wav")
REPLY_S = 10.0
QUIET_S = 0.5  # after it the agent has finished a short reply
BARE_MOST = 1.05
PLAIN_MOST = 0.9


@dataclass(slots=True)
class Times:
    """What was measured of one contender, in seconds."""

    heard: list[float] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STAGES.values()})
    missed: int = 0


async def call(contender: Contender, sentences: Sequence[str], times: Times) -> None:
    """Make one call and say ``sentences``; note how long everything took."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    ticket = await contender.open()
    async with Caller.join(ticket.url, ticket.token) as caller:
        greeted_at = await caller.hearing.began(after=0.0, timeout_s=REPLY_S)
        times.joins.append(greeted_at - asked_at)
        await caller.hearing.silent(quiet_s=QUIET_S, timeout_s=REPLY_S)
        for sentence in sentences:
            said = await caller.say(SPEECH / sentence)
            try:
                began_at = await caller.hearing.began(after=said.ended_at, timeout_s=REPLY_S)
                times.heard.append(began_at - said.ended_at)
                await caller.hearing.silent(quiet_s=QUIET_S, timeout_s=REPLY_S)
            except TimeoutError:
                times.missed += 1
        await asyncio.sleep(0.3)  # the last turn's figures are on their way
        for turn in await contender.stages(ticket):
            for name, values in times.stages.items():
                if name in turn:
                    values.append(turn[name])


async def measure(
    contenders: Mapping[str, Contender], *, calls: int, turns: int, patience_s: float
) -> dict[str, Times]:
    """Call everybody again and again, in another order each time."""
    times = {name: Times() for name in contenders}
    names = list(contenders)
    for number in range(-1, calls):  # the first round warms caches and is forgotten
        sentences = [SENTENCES[(number * turns + n) % len(SENTENCES)] for n in range(turns)]
        for name in names:
            busy = machine.wait_quiet(patience_s)
            noted = times[name] if number >= 0 else Times()
            await call(contenders[name], sentences[: turns if number >= 0 else 1], noted)
            if number >= 0:
                last = " ".join(f"{s:.3f}" for s in noted.heard[-turns:])
                print(f"  {name:6} {last}  join {noted.joins[-1]:.2f}  (busy {busy:.2f})")
        names = [*names[1:], names[0]]
    return times


def spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Say where the ratio of the medians lies in nine of ten resamplings."""
    rng = random.Random(1)
    ratios = sorted(
        statistics.median(rng.choices(ours, k=len(ours)))
        / statistics.median(rng.choices(theirs, k=len(theirs)))
        for _ in range(1000)
    )
    return f"{ratios[50]:.2f} to {ratios[950]:.2f}"


def figures(times: Mapping[str, Times]) -> list[Figure]:
    """Return the ratios."""
    goals = {"bare": BARE_MOST, "plain": PLAIN_MOST}
    ours, found = times["ours"], []
    for name, theirs in times.items():
        if name == "ours":
            continue
        heard, joins = median(theirs.heard), median(theirs.joins)
        detail = f"{median(ours.heard):.3f} / {heard:.3f} s; {spread(ours.heard, theirs.heard)}"
        found += [
            Figure(
                name=f"heard: ours / {name}",
                value=median(ours.heard) / heard,
                at_most=goals.get(name),
                detail=detail,
            ),
            Figure(
                name=f"asked for a call to first audio: ours / {name}",
                value=median(ours.joins) / joins,
                detail=f"{median(ours.joins):.3f} / {joins:.3f} s",
            ),
        ]
    return found


def print_stages(times: Mapping[str, Times]) -> None:
    """Print the medians by stage."""
    print("\nmedians, s" + "".join(f"{name:>10}" for name in times))
    for stage in STAGES.values():
        cells = [
            median(t.stages[stage]) if t.stages[stage] else float("nan") for t in times.values()
        ]
        print(f"  {stage:16}" + "".join(f"{cell:10.3f}" for cell in cells))
    print(f"  {'heard':16}" + "".join(f"{median(t.heard):10.3f}" for t in times.values()))
    p95 = [percentile(t.heard, 0.95) for t in times.values()]
    print(f"  {'heard, p95':16}" + "".join(f"{cell:10.3f}" for cell in p95))
    print(
        f"  {'turns (missed)':16}"
        + "".join(f"{f'{len(t.heard)} ({t.missed})':>10}" for t in times.values())
    )


def main() -> int:
    """Run the program."""
    options = parser("Turn latency in real rooms, ours against plain workers.")
    options.add_argument("--turns", type=int, default=3, help="in each call")
    options.add_argument("--calls", type=int, default=8, help="to each contender")
    options.add_argument("--also", nargs="*", default=[], choices=["live"])
    args = options.parse_args()
    calls, turns = (1, 1) if args.quick else (args.calls, args.turns)

    async def run() -> dict[str, Times]:
        async with ring.contenders() as contenders:
            return await measure(contenders, calls=calls, turns=turns, patience_s=args.patience_s)

    with arena("bare", "plain", *args.also) as ring:
        times = asyncio.run(run())
    print_stages(times)
    return conclude(f"Turn latency ({machine.described()})", figures(times), strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
