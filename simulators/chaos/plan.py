"""What happens when: made from one seed, so that a run that failed can be played again.

The plan is the same for the same seed; where a process stands when it is killed is not, because
the machine decides that. That is wanted: the seed repeats the story, the machine varies it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from simulators.fault_proxy import Fault


class Victim(StrEnum):
    """What a kill hits."""

    JOB = "job"
    LOADING_JOB = "job while it loads"
    RELAY = "relay"
    BACKEND = "backend"
    REDIS = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One SIGKILL. ``after_ms``: into the turn or the load of caller ``caller``'s process.

    ``rest_ms``: before this step of its lane begins. ``down_ms``: how long a server stays away.
    """

    victim: Victim
    rest_ms: int
    caller: int = 0
    after_ms: int = 0
    down_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The network misbehaves for a while."""

    fault: Fault
    rest_ms: int
    lasts_ms: int


Step = Kill | Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Four lanes that run side by side."""

    seed: int
    kills: int
    callers: int
    jobs: tuple[Kill, ...]
    relay: tuple[Kill, ...]
    backend: tuple[Step, ...]
    redis: tuple[Step, ...]

    def lines(self) -> Iterator[str]:
        """Say the plan, one step a line."""
        yield f"seed {self.seed}: {self.kills} kills, {self.callers} callers"
        for name in ("jobs", "relay", "backend", "redis"):
            for number, step in enumerate(getattr(self, name), 1):
                yield f"  {name} {number}: {step}"


def make_plan(seed: int, *, kills: int, callers: int) -> Plan:
    """Make the plan of a seed: of every 10 kills 6 jobs, 1 or 2 relays and backends, 1 Redis."""
    chance = random.Random(seed)
    backends = round(kills * 0.14)
    relays = round(kills * 0.16)
    redises = round(kills * 0.1)
    jobs = kills - backends - relays - redises
    # The lanes should end together: a dying backend takes the longest to come back.
    whole_ms = max(backends * 2_600, jobs * 220, relays * 900)
    return Plan(
        seed=seed,
        kills=kills,
        callers=callers,
        jobs=tuple(_job_lane(chance, jobs, callers, whole_ms / max(jobs, 1))),
        relay=tuple(
            Kill(victim=Victim.RELAY, rest_ms=_about(chance, whole_ms / max(relays, 1)))
            for _ in range(relays)
        ),
        backend=tuple(_server_lane(chance, Victim.BACKEND, backends, rests_ms=(200, 900))),
        redis=tuple(_server_lane(chance, Victim.REDIS, redises, rests_ms=(400, 2_400))),
    )


def _job_lane(chance: random.Random, jobs: int, callers: int, rest_ms: float) -> Iterator[Kill]:
    """Kills in a turn; now and then the process that replaces the dead one is killed as well."""
    caller = None
    for _ in range(jobs):
        if caller is not None and chance.random() < 0.15:
            yield Kill(victim=Victim.LOADING_JOB, rest_ms=0, caller=caller,
                       after_ms=chance.randrange(900))  # fmt: skip
            caller = None
        else:
            caller = chance.randrange(callers)
            yield Kill(victim=Victim.JOB, rest_ms=_about(chance, rest_ms), caller=caller,
                       after_ms=chance.randrange(45))  # fmt: skip


def _server_lane(
    chance: random.Random, victim: Victim, kills: int, *, rests_ms: tuple[int, int]
) -> Iterator[Step]:
    faults = [Fault.REFUSE, Fault.SILENT, Fault.LOSE_ANSWERS, Fault.SLOW]
    for number in range(kills):
        yield Kill(
            victim=victim,
            rest_ms=chance.randrange(*rests_ms),
            down_ms=chance.randrange(0, 700),
        )
        if number % 2:
            yield Trouble(
                fault=chance.choice(faults),
                rest_ms=chance.randrange(100, 600),
                lasts_ms=chance.randrange(150, 900),
            )


def _about(chance: random.Random, mean_ms: float) -> int:
    return round(mean_ms * chance.uniform(0.4, 1.6))
