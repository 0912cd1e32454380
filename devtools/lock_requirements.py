"""``lock``: pin every package by hash, each list holding on to the one before it."""

from collections.abc import Sequence
from pathlib import Path

from devtools.commands import run_logged
from devtools.console import Progress
from devtools.errors import DevError
from devtools.paths import LOGS, REQUIREMENTS, ROOT
from devtools.venvs import find_uv

OPTIONS = (
    "-q",
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
)
AGENT = ROOT / "requirements.txt"
RUN_LIST = REQUIREMENTS / "run.txt"
DEV_LIST = REQUIREMENTS / "dev.txt"


def lock(*, upgrade: bool) -> int:
    """Write the three lists; with ``upgrade`` take the newest versions that fit.

    Raises:
        DevError: uv cannot be had, or finds no versions that fit together.
    """
    log = LOGS / "lock.log"
    LOGS.mkdir(parents=True, exist_ok=True)
    uv = find_uv(log=log)
    if uv is None:
        raise DevError("locking needs uv: install it and try again")
    more = ["--upgrade"] if upgrade else []
    with Progress().shown() as progress:
        for target, extras, below in (
            (AGENT, [], None),
            (RUN_LIST, ["local", "servers"], AGENT),
            (DEV_LIST, ["local", "servers", "dev"], RUN_LIST),
        ):
            with progress.step(f"{target.name}"):
                command = [str(uv), *compile_command(target, extras, below), *more]
                run_logged(command, log=log, hint="no versions fit together")
    return 0


def compile_command(target: Path, extras: Sequence[str], below: Path | None) -> list[str]:
    """Return uv's words for one list; ``below`` holds the versions that are fixed already."""
    named = [word for extra in extras for word in ("--extra", extra)]
    held = ["-c", str(below)] if below else []
    return ["pip", "compile", *OPTIONS, *named, *held, "pyproject.toml", "-o", str(target)]
