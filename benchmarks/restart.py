"""From the kill of an agent in mid-call to the first word of the one that goes on, in real rooms.

    python -m benchmarks.restart [--quick]

The job's process is killed (kill -9) while its caller is in the room, and another agent is asked
for at once, as the page's "reconnect" does. Measured by the caller: when the new agent listens,
when it is heard first (it is set to speak a brief after any gap), and how fast it answers a
question whose answer was said before the kill. A first call is the measure beside it.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.contenders import arena
from benchmarks.figures import Figure, conclude, median, parser
from devtools.system import System
from simulators.caller import Caller
from simulators.outside import Outside, kill_job

SPEECH = Path(__file__).parents[1] / "tests" / "fixtures" / "speech"
WITHIN_S = 30.0


@dataclass(slots=True)
class Times:
    """Seconds, one for each call."""

    first_sound: list[float] = field(default_factory=list)
    listening: list[float] = field(default_factory=list)
    speaking: list[float] = field(default_factory=list)
    answer_before: list[float] = field(default_factory=list)
    answer_after: list[float] = field(default_factory=list)


async def one_call(system: System, outside: Outside, times: Times) -> None:
    """Call, say a name, lose the agent, ask the next one for the name."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    call = await outside.open_call()
    async with Caller.join(call.url, call.token) as caller:
        greeting = await caller.hear(timeout_s=WITHIN_S)
        before = await caller.turn(SPEECH / "name.wav")
        killed = loop.time()
        await asyncio.to_thread(kill_job, system.worker.outbox, call.room)
        await outside.send_agent(call.room)
        brief = await caller.hear(timeout_s=WITHIN_S)
        listening = next(s.at for s in caller.states if s.at > killed and s.state == "listening")
        after = await caller.turn(SPEECH / "my_name.wav")
    written = [line.text for line in caller.transcripts if line.final and not line.mine]
    if "ada" not in written[-1].lower():
        raise RuntimeError(f"the new agent does not know the name: {written[-1]!r}")
    times.first_sound.append(greeting.began_at - asked)
    times.listening.append(listening - killed)
    times.speaking.append(brief.began_at - killed)
    times.answer_before.append(before.latency_s)
    times.answer_after.append(after.latency_s)


async def measure(system: System, calls: int) -> Times:
    """Make some calls, one after the other."""
    times = Times()
    async with Outside(url=system.backend.url, token=system.backend.token) as outside:
        for _ in range(calls):
            await one_call(system, outside, times)
    return times


def main() -> int:
    """Run the program."""
    args = parser("The restart of an agent in mid-call.").parse_args()
    machine.wait_quiet(args.patience_s)
    with arena(worker_environ={"VOICE_CALL__BRIEF_AFTER_S": "0"}) as running:
        times = asyncio.run(measure(running.system, 1 if args.quick else 8))
    worst = max(times.speaking)
    figures = [
        Figure(
            name="kill to first sound / a first call to its first sound",
            value=median(times.speaking) / median(times.first_sound),
            detail=f"{median(times.speaking):.2f} (worst {worst:.2f})"
            f" / {median(times.first_sound):.2f} s",
        ),
        Figure(
            name="kill to an agent that listens, s",
            value=median(times.listening),
            detail=f"worst {max(times.listening):.2f}",
        ),
        Figure(
            name="its first answer / the last answer before the kill",
            value=median(times.answer_after) / median(times.answer_before),
            detail=f"{median(times.answer_after):.2f} / {median(times.answer_before):.2f} s",
        ),
    ]
    return conclude(f"Restart in mid-call ({machine.described()})", figures, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
