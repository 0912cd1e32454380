"""Stamps: what a set-up step was made from, so that it is not made twice.

A lost stamp costs a repeated step, never a wrong result.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path


def digest(*parts: str | Path) -> str:
    """Return one hash of texts and of files' contents (a missing file counts as such)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(part.read_bytes() if part.is_file() else b"\0missing")
        else:
            total.update(part.encode())
        total.update(b"\0\0")
    return total.hexdigest()


def tree(folder: Path, *, without: Iterable[str]) -> str:
    """Return one hash of all files below a folder, except in the named subfolders."""
    skipped = set(without)
    parts: list[str | Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in sorted(files):
            path = Path(parent) / name
            parts += [str(path.relative_to(folder)), path]
    return digest(*parts)


def read(stamp: Path) -> dict[str, str]:
    """Return what a stamp says; nothing when it is absent or damaged."""
    try:
        held = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {str(name): str(value) for name, value in held.items()}


def write(stamp: Path, values: dict[str, str]) -> None:
    """Replace a stamp whole."""
    new = stamp.with_name(f"{stamp.name}.{os.getpid()}")
    new.write_text(json.dumps(values))
    new.replace(stamp)
