"""``chaos``: calls as real processes while everything around them is killed (simulators/chaos)."""

import os
import tempfile
from pathlib import Path

from devtools import disk, figures
from devtools.paths import ROOT, VENV, python_of


def chaos(args: list[str]) -> int:
    """Become the chaos run; it ends what it started, also at a Ctrl-C."""
    os.umask(0o077)
    folder = Path(tempfile.gettempdir())
    disk.require({folder: figures.START_MB}, what="a chaos run (data and logs)")
    python = str(python_of(VENV))
    os.chdir(ROOT)
    os.execv(python, [python, "-m", "simulators.chaos", *args])
