"""``.run/env``: what a shell sources to join the running system (names in docs, API)."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from devtools.secret_store import write_private


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write ``export NAME=value`` lines, readable by the owner only."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())]
    write_private(path, "".join(lines))


def read(path: Path) -> dict[str, str]:
    """Read such a file back."""
    values = {}
    for line in path.read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        values[name] = "".join(shlex.split(value))
    return values
