"""Set-up: everything a verb needs, made once; a second time it is a look at some stamps."""

import platform
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from devtools import disk, figures, livekit_build, locks, node, programs, venvs
from devtools.commands import stop_all
from devtools.console import Progress, say
from devtools.paths import LOGS, ROOT, VENV, WEB, cache

OLDEST_GLIBC = (2, 34)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is made. ``title`` is what a person reads while it takes long."""

    name: str
    title: str
    is_ready: Callable[[], bool]
    make: Callable[[Path], None]


def steps_for(kind: str) -> list[Step]:
    """Return the steps of ``run`` (also for demo) or ``dev`` (also for test and check)."""
    steps = [
        Step(
            name="python",
            title="Python packages and voices (.venv)",
            is_ready=lambda: venvs.is_ready(kind),
            make=lambda log: venvs.prepare(kind, log=log),
        ),
        Step(
            name="livekit",
            title=f"LiveKit server {livekit_build.VERSION} (built from source)",
            is_ready=lambda: livekit_build.find_livekit() is not None,
            make=lambda log: livekit_build.build_livekit(log=log),
        ),
        Step(
            name="web",
            title="the web page (npm)",
            is_ready=node.is_ready,
            make=lambda log: node.prepare(log=log),
        ),
    ]
    if kind == "dev":
        chromium = Step(
            name="chromium",
            title="Chromium (apt-get)",
            is_ready=lambda: programs.find_chromium() is not None,
            make=lambda log: programs.install_chromium(log=log),
        )
        steps.append(chromium)
    return steps


def ensure(kind: str) -> None:
    """Make what is missing. Two at once do not fight: the second waits for the first.

    Raises:
        DevError: something cannot be made.
    """
    if not _missing(kind):
        return
    with locks.held(
        cache() / "setup.lock",
        on_wait=lambda: say("another set-up is under way: waiting for it ..."),
    ):
        missing = _missing(kind)
        if missing:
            _make(kind, missing)


def _missing(kind: str) -> list[Step]:
    return [step for step in steps_for(kind) if not step.is_ready()]


def _make(kind: str, missing: list[Step]) -> None:
    _say_what_it_costs(kind, missing)
    began_at = time.monotonic()
    if not venvs.has_uv():  # once and first: the steps below share it
        with Progress().shown() as progress, progress.step("uv, the package installer"):
            venvs.find_uv(log=_log("uv"))
    with Progress().shown() as progress, ThreadPoolExecutor(len(missing)) as pool:

        def make(step: Step) -> None:
            with progress.step(step.title):
                step.make(_log(step.name))

        futures = [pool.submit(make, step) for step in missing]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop_all()
            raise
    say(f"set up in {time.monotonic() - began_at:.0f} s")
    say()


def _log(name: str) -> Path:
    log = LOGS / f"setup-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def _say_what_it_costs(kind: str, missing: list[Step]) -> None:
    names = {step.name for step in missing}
    builds = "livekit" in names
    kept_mb = figures.KEPT_MB + (figures.TEST_MB if kind == "dev" else 0)
    if {"python", "livekit"} <= names:
        say(
            f"First set-up: about {figures.SETUP_MINUTES} minutes and {kept_mb / 1000:.1f} GB of"
            f" disk ({figures.BUILD_MB / 1000:.1f} GB while LiveKit's server is built),"
            f" in {ROOT} and {cache()}"
        )
    else:
        say("Setting up what is missing or has changed")
    _say_glibc()
    disk.require(
        {
            ROOT: kept_mb if "python" in names else figures.START_MB,
            cache(): figures.BUILD_MB - figures.KEPT_MB if builds else figures.START_MB,
        },
        what="the set-up",
    )


def _say_glibc() -> None:
    library, version = platform.libc_ver()
    found = livekit_build.numbers(version)
    if library == "glibc" and found and found < OLDEST_GLIBC:
        say(
            f"This machine has glibc {version}; the local voices need 2.34 or newer"
            " (Debian 12, Ubuntu 22.04, Fedora 35): they will not install here"
        )


def describe() -> str:
    """Return what set-up has made and what it takes on the disk, in one line."""
    made_mb = disk.size_mb(VENV, WEB, cache())
    return f"{made_mb:,.0f} MB in {ROOT} and {cache()}"
