"""What a message costs in memory, and what a long call leaves behind.

    python -m benchmarks.memory [--quick]

Counted by tracemalloc, so nothing depends on what else the machine does.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import tracemalloc
from pathlib import Path

from benchmarks import machine, samples
from benchmarks.figures import Figure, conclude, parser
from benchmarks.outbox import outbox_in, recorder_of
from voice_agent.call.recorder import Recorder
from voice_agent.domain.conversation import WindowLimits
from voice_agent.domain.events import Event, Message, Speaker
from voice_agent.domain.ids import Identity, SpeechId
from voice_agent.state.codec import encode_event

EVENTS_A_TURN = 4


def held_bytes() -> int:
    """Return what is allocated now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def measure_message(count: int) -> Figure:
    """Hold ``count`` messages; compare with their encoded bytes."""
    encoded_bytes = sum(len(encode_event(samples.message(n))) for n in range(1, count + 1))
    tracemalloc.start()
    before = held_bytes()
    held: list[Event] = [samples.message(n) for n in range(1, count + 1)]
    grown = held_bytes() - before - sys.getsizeof(held)
    tracemalloc.stop()
    return Figure(
        name="a message in memory / its bytes",
        value=grown / encoded_bytes,
        at_most=2.0,
        detail=f"{grown // count} / {encoded_bytes // count} B",
    )


def talk(recorder: Recorder, number: int) -> None:
    """Record one turn as the listener does."""
    rng = random.Random(number)
    speaker = Speaker(identity=Identity("caller"), name="Ada Lovelace")
    speech_id = SpeechId(f"speech_{number}")
    turns = recorder.turns
    recorder.record_all(turns.user_began(speaker))
    recorder.record_all(turns.speech_created(speech_id))
    said = Message(role="user", text=samples.text(700, rng), speaker=speaker)
    recorder.record_all(turns.user_said(said))
    answered = Message(role="assistant", text=samples.text(700, rng))
    recorder.record_all(turns.agent_said(speech_id, answered))
    recorder.record_all(turns.speech_done(speech_id, interrupted=False))


def peak(recorder: Recorder, first: int) -> int:
    """Go on for as many turns as lie between two trims; return the most that was held."""
    most = 0
    for number in range(first, first + WindowLimits().most):
        talk(recorder, number)
        most = max(most, held_bytes())
    return most


def measure_window(event_count: int) -> Figure:
    """Record so many events in one call; compare what is held early and at the end."""
    turn_count = event_count // EVENTS_A_TURN
    early = turn_count // 10
    with tempfile.TemporaryDirectory() as folder, outbox_in(Path(folder)) as outbox:
        recorder = recorder_of(outbox)
        tracemalloc.start()
        before = held_bytes()
        for number in range(early):
            talk(recorder, number)
        at_first = peak(recorder, early) - before
        for number in range(early + WindowLimits().most, turn_count):
            talk(recorder, number)
        at_last = peak(recorder, turn_count) - before
        tracemalloc.stop()
    return Figure(
        name=f"held after {recorder.last_ordinal} events / after a tenth of them",
        value=at_last / at_first,
        at_most=1.1,
        detail=f"{at_last / 1024:.0f} / {at_first / 1024:.0f} KiB",
    )


def main() -> int:
    """Run the program."""
    args = parser("Memory of messages and of a long call.").parse_args()
    found = [measure_message(200 if args.quick else 5_000)]
    found.append(measure_window(2_000 if args.quick else 20_000))
    return conclude(f"Memory ({machine.described()})", found, strict=args.strict)


if __name__ == "__main__":
    sys.exit(main())
