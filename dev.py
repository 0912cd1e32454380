#!/usr/bin/env python3
"""Set up, run, test and clean Throughline: ``python3 dev.py run | test | demo | stop | ...``.

Thin on purpose, and of words that an old Python understands too, so that it can say what is
missing. Everything is in devtools/, which needs the standard library only.
"""

import os
import shutil
import sys

OLDEST = (3, 11)
NAMES = ["python3.14", "python3.13", "python3.12", "python3.11"]


def main() -> int:
    if sys.version_info < OLDEST:
        for name in NAMES:
            if shutil.which(name) and not os.environ.get("THROUGHLINE_RESTARTED"):
                os.environ["THROUGHLINE_RESTARTED"] = "1"
                os.execvp(name, [name, *sys.argv])
        sys.stderr.write(
            "dev.py needs Python 3.11 or newer, this is {}.{}: call it with one\n".format(
                *sys.version_info[:2]
            )
        )
        return 2
    if sys.platform == "win32":
        sys.stderr.write("dev.py needs Linux or macOS: on Windows use it inside WSL\n")
        return 2
    sys.dont_write_bytecode = True
    from devtools.cli import main as verbs

    return verbs(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
