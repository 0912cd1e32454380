"""Numbered forward migrations: a folder of SQL files, each applied once, in order.

A database with a migration this program does not know was written by a newer one and is refused
untouched: an old program must not write into tables it does not understand.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from backend.errors import StartRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step: ``0001_log.sql`` is number 1, named ``log``."""

    number: int
    name: str
    sql: str


def known(folder: Path) -> list[Migration]:
    """Read the migrations of this program, ascending."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(number=int(number), name=name, sql=path.read_text("utf-8")))
    return found


def missing(steps: list[Migration], done: Collection[int]) -> list[Migration]:
    """List the steps to apply; raise StartRefused when the database is ahead of this program."""
    newest = max(done, default=0)
    if newest > steps[-1].number:
        raise StartRefused(
            f"the database has schema {newest}, this program knows {steps[-1].number}:"
            " it was used by a newer version; start that one, or point to another database"
        )
    return [step for step in steps if step.number not in done]
