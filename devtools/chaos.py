"""``chaos``: calls as real processes while everything around them is killed (simulators/chaos).

Before them, without arguments: thousands of requests made from the API's description
(simulators/fuzz.py), of a backend on SQLite and of one on PostgreSQL; ``chaos fuzz [--postgres]``
asks these alone.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from devtools import disk, figures
from devtools.paths import ROOT, VENV, python_of

FUZZ_CASES = 10_000
FUZZ = "fuzz"
ON_POSTGRES = "--postgres"


def chaos(args: list[str]) -> int:
    """Become the chaos run; it ends what it started, also at a Ctrl-C."""
    os.umask(0o077)
    folder = Path(tempfile.gettempdir())
    disk.require({folder: figures.START_MB}, what="a chaos run (data and logs)")
    os.chdir(ROOT)
    python = str(python_of(VENV))
    fuzz = [python, "-m", "simulators.fuzz", "--cases", str(FUZZ_CASES)]
    alone = args[:1] == [FUZZ]
    code = 0 if args else subprocess.call(fuzz) or subprocess.call([*fuzz, ON_POSTGRES])
    if code == 0:
        os.execv(python, [*fuzz, *args[1:]] if alone else [python, "-m", "simulators.chaos", *args])
    return code
