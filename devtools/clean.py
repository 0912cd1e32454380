"""``clean``: back to a fresh checkout; with ``--all`` also what the checkouts share."""

import shutil
from pathlib import Path

from devtools import disk, ledger
from devtools.console import say
from devtools.errors import DevError
from devtools.paths import ROOT, RUN, VENV, WEB, cache, shown

CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")


def clean(*, all_: bool) -> int:
    """Remove what was made here, the conversations of ``run`` included; say what and how much.

    Raises:
        DevError: the system is running.
    """
    if ledger.is_running(RUN):
        raise DevError("the system is running: end it first (python3 dev.py stop)")
    ledger.end_left_over(RUN)
    made = [VENV, RUN, WEB / "dist", WEB / "build", WEB / "node_modules"]
    made += [ROOT / name for name in CACHES]
    for path in [*made, *([cache()] if all_ else [])]:
        _remove(path)
    if not all_ and cache().exists():
        say(
            f"kept {cache()} ({disk.size_mb(cache()):,.0f} MB): LiveKit's server and other tools"
            " that all checkouts share; clean --all removes them too"
        )
    return 0


def _remove(path: Path) -> None:
    if not path.exists():
        return
    mb = disk.size_mb(path)
    _make_writable(path)
    shutil.rmtree(path)
    note = " (with the conversations in it)" if path == RUN else ""
    say(f"removed {shown(path)}{note}: {mb:,.0f} MB")


def _make_writable(path: Path) -> None:
    """Go keeps its modules read-only, and the build may have been stopped half-way."""
    for folder in path.rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
