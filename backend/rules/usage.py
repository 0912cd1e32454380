"""What models used up, as their providers report it to whoever writes the log.

A report says what was spent since the one before it, so it is added up once: with the event that
carries it. What the counts are called is the writer's business, so that a newer agent can count
something new: they are names that end in their unit.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

MAX_REPORTS: Final = 64
MAX_COUNTS: Final = 64
MAX_COUNT: Final = 2**53 - 1

Word = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z", examples=["stt"])]
Named = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00]*\Z")]
Amount = Annotated[float, Meta(ge=0, le=MAX_COUNT)]
Counts = Annotated[dict[Word, Amount], Meta(max_length=MAX_COUNTS)]


class Usage(Struct, frozen=True, kw_only=True):
    """What one model used up, by count: requests, input_tokens, audio_s ..."""

    service: Word
    provider: Named
    model: Named
    counts: Counts


Reports = Annotated[list[Usage], Meta(max_length=MAX_REPORTS)]
Spent = dict[tuple[str, str, str, str], float]
"""(service, provider, model, count) -> amount."""
Row = tuple[str, str, str, str, float]
"""The same, as a row of a database."""


def read(value: object) -> tuple[Usage, ...]:
    """Check what an event says was used up; raise ValueError with one line about it."""
    if value is None:
        return ()
    try:
        return tuple(msgspec.convert(value, Reports))
    except msgspec.ValidationError as exc:
        raise ValueError(str(exc)) from exc


def total(reports: Iterable[Sequence[Usage]]) -> Spent:
    """Add reports up."""
    spent: Spent = {}
    for each in (usage for report in reports for usage in report):
        for name, amount in each.counts.items():
            count = (each.service, each.provider, each.model, name)
            spent[count] = spent.get(count, 0) + amount
    return spent


def shown(rows: Iterable[Row]) -> list[Usage]:
    """Put the counts of each model together, in the order of their names."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for service, provider, model, name, amount in sorted(rows):
        found.setdefault((service, provider, model), {})[name] = round(amount, 3)
    return [
        Usage(service=service, provider=provider, model=model, counts=counts)
        for (service, provider, model), counts in found.items()
    ]
