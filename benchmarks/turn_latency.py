"""From the end of a caller's speech to the agent's first sound, in real rooms, heard.

    python -m benchmarks.turn_latency [--turns N] [--calls N] [--also live] [--quick]

Each sentence is said to one after the other: our system; ``bare``, the same AgentSession without
our program round it; ``plain``, the same voices with livekit-agents' defaults (workers/jobs.py).
Time runs from the last loud 10 ms handed to WebRTC to the first loud 10 ms of the agent's track, so
nothing that the framework leaves out of its own figures is left out here. A ratio is the median of
the ratios of pairs: the same sentence, some seconds apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks import machine
from benchmarks.contenders import STAGES, Contender, Ticket, arena
from benchmarks.figures import Figure, conclude, median, parser, percentile
from simulators.caller import Caller

SPEECH = Path(__file__).parents[1] / "tests" / "fixtures" / "speech"
SENTENCES = ("name.wav", "time_tokyo.wav", "home.wav", "my_home.wav", "unknown.wav", "my_name.wav")
"""Statements and questions by turns: they are waited for differently (docs/benchmarks.md)."""
REPLY_S = 10.0
QUIET_S = 0.5  # after it the agent has finished a short reply
DISTURBED = 0.6  # three open rooms and one who speaks keep 2 cores busy to about 0.4
FEWEST = 6
BARE_MOST = 1.05
PLAIN_MOST = 0.9


@dataclass(slots=True)
class Times:
    """What was measured of one contender, in seconds; a turn without an answer is NaN.

    ``busy``: the share of all cores in use while a sentence was said to everybody.
    """

    heard: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STAGES.values()})

    @property
    def missed(self) -> int:
        """Turns without an answer."""
        return sum(math.isnan(s) for s in self.heard)

    @property
    def answered(self) -> list[float]:
        """The turns with one."""
        return [s for s in self.heard if not math.isnan(s)]

    def calm(self) -> Times:
        """Return it without the turns that other programs disturbed; whole if there are few."""
        kept = [s for s, busy in zip(self.heard, self.busy, strict=True) if busy <= DISTURBED]
        return replace(self, heard=kept) if len(kept) >= FEWEST else self


@dataclass(slots=True)
class Line:
    """One open call."""

    contender: Contender
    ticket: Ticket
    caller: Caller

    async def turn(self, sentence: str) -> float:
        """Say a sentence; return the seconds until its answer, NaN if none came."""
        said = await self.caller.say(SPEECH / sentence)
        try:
            began_at = await self.caller.hearing.began(after=said.ended_at, timeout_s=REPLY_S)
            await self.caller.hearing.silent(quiet_s=QUIET_S, timeout_s=REPLY_S)
        except TimeoutError:
            return math.nan
        return began_at - said.ended_at


async def dial(open_: contextlib.AsyncExitStack, contender: Contender, times: Times) -> Line:
    """Begin a call that lasts as long as ``open_``; note how long the greeting took to come."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    ticket = await contender.open()
    caller = await open_.enter_async_context(Caller.join(ticket.url, ticket.token))
    times.joins.append(await caller.hearing.began(after=0.0, timeout_s=REPLY_S) - asked_at)
    await caller.hearing.silent(quiet_s=QUIET_S, timeout_s=REPLY_S)
    return Line(contender, ticket, caller)


async def one_round(
    contenders: Mapping[str, Contender],
    times: Mapping[str, Times],
    sentences: Sequence[str],
    *,
    patience_s: float,
) -> None:
    """Call everybody, and say each sentence to one after the other."""
    async with contextlib.AsyncExitStack() as open_:
        lines = {}
        machine.wait_quiet(patience_s)  # blocks: no call is open yet
        for name, contender in contenders.items():
            lines[name] = await dial(open_, contender, times[name])
        names = list(lines)
        for sentence in sentences:
            psutil.cpu_percent()  # from here on
            heard = {name: await lines[name].turn(sentence) for name in names}
            busy: float = psutil.cpu_percent() / 100
            for name, took_s in heard.items():
                times[name].heard.append(took_s)
                times[name].busy.append(busy)
            told = "  ".join(f"{name} {took_s:.3f}" for name, took_s in sorted(heard.items()))
            print(f"  {sentence:15} {told}  (busy {busy:.2f})", flush=True)
            names = [*names[1:], names[0]]
        await asyncio.sleep(0.5)  # the last turn's figures are on their way
        for name, line in lines.items():
            for turn in await line.contender.stages(line.ticket):
                for stage, values in times[name].stages.items():
                    if stage in turn:
                        values.append(turn[stage])


async def measure(
    contenders: Mapping[str, Contender], *, calls: int, turns: int, patience_s: float
) -> dict[str, Times]:
    """Call everybody again and again, in another order each time."""
    times = {name: Times() for name in contenders}
    warm = {name: Times() for name in contenders}  # the first round fills caches and is forgotten
    await one_round(contenders, warm, SENTENCES[:1], patience_s=0)
    names = list(contenders)
    for number in range(calls):
        sentences = [SENTENCES[(number * turns + n) % len(SENTENCES)] for n in range(turns)]
        ordered = {name: contenders[name] for name in names}
        await one_round(ordered, times, sentences, patience_s=patience_s)
        names = [*names[1:], names[0]]
    return times


def paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each turn that both answered: same sentence, seconds apart."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return [ratio for ratio in ratios if not math.isnan(ratio)]


def spread(ratios: Sequence[float]) -> str:
    """Say where the median lies in nine of ten resamplings."""
    rng = random.Random(1)
    medians = sorted(median(rng.choices(ratios, k=len(ratios))) for _ in range(1000))
    return f"{medians[50]:.2f} to {medians[950]:.2f}"


def figures(times: Mapping[str, Times]) -> list[Figure]:
    """Return the ratios."""
    goals = {"bare": BARE_MOST, "plain": PLAIN_MOST}
    ours, found = times["ours"], []
    for name, theirs in times.items():
        if name == "ours":
            continue
        ratios = paired(ours.heard, theirs.heard)
        seconds = f"{median(ours.answered):.3f} / {median(theirs.answered):.3f} s"
        joins = f"{median(ours.joins):.3f} / {median(theirs.joins):.3f} s"
        found += [
            Figure(
                name=f"heard: ours / {name}",
                value=median(ratios),
                at_most=goals.get(name),
                detail=f"{seconds}; 90 %: {spread(ratios)}",
            ),
            Figure(
                name=f"asked for a call to first audio: ours / {name}",
                value=median(paired(ours.joins, theirs.joins)),
                detail=joins,
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
    print(f"  {'heard':16}" + "".join(f"{median(t.answered):10.3f}" for t in times.values()))
    p95 = [percentile(t.answered, 0.95) for t in times.values()]
    print(f"  {'heard, p95':16}" + "".join(f"{cell:10.3f}" for cell in p95))
    print(
        f"  {'turns (missed)':16}"
        + "".join(f"{f'{len(t.heard)} ({t.missed})':>10}" for t in times.values())
    )


def main() -> int:
    """Run the program."""
    options = parser("Turn latency in real rooms, ours against plain workers.")
    options.add_argument("--turns", type=int, default=6, help="sentences in each call")
    options.add_argument("--calls", type=int, default=5, help="to each contender")
    options.add_argument("--also", nargs="*", default=[], choices=["live"])
    args = options.parse_args()
    calls, turns = (1, 1) if args.quick else (args.calls, args.turns)

    async def run() -> dict[str, Times]:
        async with ring.contenders() as contenders:
            return await measure(contenders, calls=calls, turns=turns, patience_s=args.patience_s)

    with arena("bare", "plain", *args.also) as ring:
        times = {name: noted.calm() for name, noted in asyncio.run(run()).items()}
    print_stages(times)
    return conclude(f"Turn latency ({machine.described()})", figures(times), strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
