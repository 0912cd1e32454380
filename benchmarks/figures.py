"""The table of a benchmark: ratios, their goals and the verdict. Pure, except for printing."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured ratio (or figure). ``at_most`` / ``at_least``: its goal; neither: for the eye.

    ``detail``: what it was made of, in absolute figures.
    """

    name: str
    value: float
    at_most: float | None = None
    at_least: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the goal is met; true where there is none."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    @property
    def goal(self) -> str:
        """The goal in words."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def verdict(self) -> str:
        """``met`` or ``MISSED``; empty where there is no goal."""
        return ("met" if self.is_met else "MISSED") if self.goal else ""


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample below which ``share`` (0 to 1) of them lie."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(samples: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(samples)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="few samples: a smoke run")
    made.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    made.add_argument(
        "--patience-s", type=float, default=20.0, help="longest wait for a quiet machine"
    )
    return made


def conclude(title: str, figures: Sequence[Figure], *, strict: bool) -> int:
    """Print the table; return the exit code."""
    print(f"\n{title}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        line = f"  {figure.name:{width}}  {figure.value:8.3f}  {figure.goal:8}  {figure.verdict:6}"
        print(f"{line}  {figure.detail}".rstrip())
    missed = sum(not figure.is_met for figure in figures)
    if missed:
        print(f"  {missed} of {len(figures)} goals missed")
    return 1 if missed and strict else 0
