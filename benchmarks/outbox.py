"""The write-ahead log against what the machine can do at best.

    python -m benchmarks.outbox [--quick]

- ``append`` of encoded bytes against a bare ``write`` of the same bytes, back to back
- ``record``, the whole way of an event into outbox and memory, at 20 a second, as in a call. What
  is idle between two records is cold: that is what a call pays, not the figure of a tight loop
- an append that is waited for until it survives the loss of power, against write and fdatasync
- how late a timer of 1 ms comes while 100 records a second are made, against an idle loop
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import machine, samples
from benchmarks.figures import Figure, conclude, median, parser, percentile
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.events import Message
from voice_agent.state.outbox import DOORBELL, Durability, Header, Outbox, Placement
from voice_agent.state.store import Store, StoreEvents

BLOCK = 50
TICK_S = 0.001


def outbox_in(folder: Path, durability: Durability = Durability.PROCESS) -> Outbox:
    """Return an outbox of a new writer."""
    placement = Placement(folder=folder, durability=durability)
    return Outbox(placement, Header(writer_id=new_id(), started_at="2026-11-21T04:00:00Z", fence=1))


def recorder_of(outbox: Outbox) -> Recorder:
    """Return the recorder of a call that writes to ``outbox``."""
    store = Store(
        outbox=outbox,
        conversation=Conversation(),
        limits=WindowLimits(),
        events=StoreEvents(degraded=lambda _: None, dropped=lambda _: None, trimmed=lambda _: None),
    )
    return Recorder(store=store, clock=SystemClock(), new_id=new_id, on_recorded=lambda _: None)


BELL = """
import socket, sys
bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
bell.bind(sys.argv[1])
print(flush=True)
while True:
    bell.recv(100)
"""


@contextmanager
def doorbell(folder: Path) -> Iterator[None]:
    """Let somebody listen in the relay's place, as in a pod."""
    command = [sys.executable, "-c", BELL, str(folder / DOORBELL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        yield
        listener.terminate()


def timed(act: Callable[[], object]) -> float:
    """Return how long ``act`` takes (s)."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure_append(folder: Path, count: int) -> Figure:
    """Append and write by turns, in blocks."""
    payloads = samples.encoded(200)
    ours: list[float] = []
    bare: list[float] = []
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with outbox_in(folder) as outbox:
        for start in range(1, count, BLOCK):
            for n in range(start, start + BLOCK):
                data = payloads[n % len(payloads)]
                ours.append(timed(lambda n=n, data=data: outbox.append(n, data)))  # type: ignore[misc]
            for n in range(start, start + BLOCK):
                data = payloads[n % len(payloads)]
                bare.append(timed(lambda data=data: os.write(fd, data)))  # type: ignore[misc]
    os.close(fd)
    return Figure(
        name="append / bare write",
        value=median(ours) / median(bare),
        at_most=4.0,
        detail=f"{median(ours) * 1e6:.1f} / {median(bare) * 1e6:.1f} us;"
        f" p99 {percentile(ours, 0.99) * 1e6:.0f} / {percentile(bare, 0.99) * 1e6:.0f} us",
    )


async def measure_record(folder: Path, seconds: float) -> list[Figure]:
    """Record 20 times a second; beside each record, a bare write at the same pace."""
    ours: list[float] = []
    bare: list[float] = []
    words = [samples.text(samples.MESSAGE_BYTES - 330, random.Random(n)) for n in range(50)]
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data = samples.encoded(1)[0]
    with doorbell(folder), outbox_in(folder) as outbox:
        recorder = recorder_of(outbox)
        for n in range(round(seconds * 20)):
            body = Message(role="user", text=words[n % 50])
            await asyncio.sleep(0.025)
            ours.append(timed(lambda body=body: recorder.record(body)))  # type: ignore[misc]
            await asyncio.sleep(0.025)
            bare.append(timed(lambda: os.write(fd, data)))
    os.close(fd)
    p99_ms, bare_ms = percentile(ours, 0.99) * 1e3, percentile(bare, 0.99) * 1e3
    return [
        Figure(
            name="record() at 20/s, p99, ms",
            value=p99_ms,
            at_most=0.2,
            detail=f"median {median(ours) * 1e3:.3f}; a bare write at this pace:"
            f" median {median(bare) * 1e3:.3f}, p99 {bare_ms:.3f}",
        )
    ]


async def measure_synced(folder: Path, count: int) -> Figure:
    """Append and wait for the disk, by turns with write and fdatasync."""
    payloads = samples.encoded(200)
    clock = SystemClock()
    ours: list[float] = []
    bare: list[float] = []
    fd = os.open(folder / "synced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write_and_sync(data: bytes) -> None:
        os.write(fd, data)
        os.fdatasync(fd)

    with outbox_in(folder, Durability.POWER) as outbox:
        for start in range(1, count, BLOCK):
            for n in range(start, start + BLOCK):
                began = time.perf_counter()
                outbox.append(n, payloads[n % 200])
                await outbox.secured(n, clock=clock)
                ours.append(time.perf_counter() - began)
            for n in range(start, start + BLOCK):
                data = payloads[n % 200]
                bare.append(timed(lambda data=data: write_and_sync(data)))  # type: ignore[misc]
    os.close(fd)
    return Figure(
        name="synced append / write + fdatasync",
        value=median(ours) / median(bare),
        at_most=1.3,
        detail=f"{median(ours) * 1e6:.0f} / {median(bare) * 1e6:.0f} us",
    )


async def lateness(seconds: float) -> list[float]:
    """Return how late (s) a timer of 1 ms came, again and again."""
    late: list[float] = []
    until = time.perf_counter() + seconds
    while (before := time.perf_counter()) < until:
        await asyncio.sleep(TICK_S)
        late.append(time.perf_counter() - before - TICK_S)
    return late


async def measure_stall(folder: Path, rounds: int) -> Figure:
    """Watch the loop idle and recording, by turns."""
    ratios: list[float] = []
    idle_ms: list[float] = []
    (folder / DOORBELL).unlink(missing_ok=True)
    with doorbell(folder), outbox_in(folder) as outbox:
        recorder = recorder_of(outbox)
        body = Message(role="user", text="x" * 700)

        async def record_on() -> None:
            while True:
                await asyncio.sleep(0.01)
                recorder.record(body)

        for _ in range(rounds):
            idle = percentile(await lateness(1.5), 0.99)
            recording = asyncio.create_task(record_on())
            busy = percentile(await lateness(1.5), 0.99)
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
            ratios.append(busy / idle)
            idle_ms.append(idle * 1e3)
    return Figure(
        name="loop stall p99, recording / idle",
        value=median(ratios),
        at_most=1.5,
        detail=f"idle {median(idle_ms):.3f} ms; {rounds} rounds",
    )


def main() -> int:
    """Run the program."""
    args = parser("The outbox against bare writes.").parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:  # a real disk
        folder = Path(name)
        machine.wait_quiet(args.patience_s)
        found = [measure_append(folder, 200 if args.quick else 10_000)]
        found.append(asyncio.run(measure_synced(folder, 50 if args.quick else 1_000)))
        found += asyncio.run(measure_record(folder, 1 if args.quick else 20))
        found.append(asyncio.run(measure_stall(folder, 1 if args.quick else 7)))
    return conclude(f"Outbox ({machine.described()})", found, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
