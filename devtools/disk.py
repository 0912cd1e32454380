"""Room on the disk: asked for before anything is downloaded or started."""

import os
import shutil
from pathlib import Path

from devtools.errors import DevError

MB = 1_000_000


def existing(path: Path) -> Path:
    """Return the nearest folder above ``path`` that is there already."""
    while not path.exists():
        path = path.parent
    return path


def free_mb(path: Path) -> int:
    """Return the free space of the disk that holds ``path``, or will."""
    return shutil.disk_usage(existing(path)).free // MB


def require(needs: dict[Path, int], *, what: str) -> None:
    """Check that each folder's disk has the room it needs (MB); needs on one disk add up.

    Raises:
        DevError: one of them has not.
    """
    disks: dict[int, tuple[Path, int]] = {}
    for path, mb in needs.items():
        device = os.stat(existing(path)).st_dev  # noqa: PTH116 - the device's number
        first, sum_mb = disks.get(device, (path, 0))
        disks[device] = (first, sum_mb + mb)
    for path, mb in disks.values():
        free = free_mb(path)
        if free < mb:
            raise DevError(
                f"no room on the disk of {path}: {what} needs {mb:,} MB, {free:,} MB are free;"
                " free some and try again"
            )


def size_mb(*paths: Path) -> float:
    """Return the room that files and folders take together; hard links count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    folders = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            folders.append(path)
        elif path.exists():
            total += path.stat().st_blocks * 512
    for parent in folders:  # grows while it is walked
        for entry in os.scandir(parent):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
                continue
            found = entry.stat(follow_symlinks=False)
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
    return total / MB
