"""What a run was, for a person."""

from collections import Counter
from collections.abc import Iterator

from simulators.chaos.plan import Victim
from simulators.chaos.run import Outcome
from simulators.checker import Fault

SHOWN_VIOLATIONS = 20


def table(outcome: Outcome) -> str:
    """The figures of a run, and what went wrong."""
    return "\n".join([*_figures(outcome), *_wrongs(outcome)])


def _figures(outcome: Outcome) -> Iterator[str]:
    said = [one for book in outcome.books for one in book.said]
    heard = sum(one.heard is not None for one in said)
    answered = sum(one.answered is not None for one in said)
    kills = "  ".join(f"{victim} {outcome.kills[victim]}" for victim in Victim)
    faults = "  ".join(f"{fault.value} {count}" for fault, count in sorted(
        outcome.faults.items(), key=lambda item: item[0].value))  # fmt: skip
    yield f"seed                 {outcome.plan.seed}"
    yield f"kills                {outcome.kill_count}: {kills}"
    yield f"faults met           {faults or 'none'}"
    yield f"calls                {len(outcome.books)} at once, {outcome.process_count} processes"
    yield f"utterances           {len(said)}, shown {heard}, answered {answered}"
    yield f"stored messages      {outcome.stored_count}"
    count = Counter(violation.fault for violation in outcome.violations)
    for fault in Fault:
        yield f"{fault.value:<20} {count[fault]}"
    settled = "NOT" if outcome.settled_s is None else f"after {outcome.settled_s:.2f} s"
    yield f"settled              {settled}"
    yield f"took                 {outcome.took_s:.1f} s"


def _wrongs(outcome: Outcome) -> Iterator[str]:
    for violation in outcome.violations[:SHOWN_VIOLATIONS]:
        yield f"  {violation.fault}: {violation.conversation}: {violation.detail}"
    more = len(outcome.violations) - SHOWN_VIOLATIONS
    if more > 0:
        yield f"  ... and {more} more"
    for name in outcome.left[:SHOWN_VIOLATIONS]:
        yield f"  not delivered: {name}"
