"""The machine that is measured on: what it is, and whether it is quiet."""

from __future__ import annotations

import datetime
import os
import platform
import time

import psutil

QUIET = 0.25
"""Share of all cores in use below which a figure is worth taking."""


def described() -> str:
    """Say in one line where and when this was measured."""
    memory_gib = psutil.virtual_memory().total / 2**30
    day = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {day}"
    )


def wait_quiet(patience_s: float, *, busy: float = QUIET) -> float:
    """Wait until little runs, at most ``patience_s`` seconds; return the share in use then."""
    deadline = time.monotonic() + patience_s
    while True:
        share: float = psutil.cpu_percent(interval=0.4) / 100
        if share <= busy or time.monotonic() >= deadline:
            return share
