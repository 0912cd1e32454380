"""The page: built by npm, with the Node on PATH or one from a wheel."""

import os
import shutil
from pathlib import Path

from devtools import stamps
from devtools.commands import output_of, run_logged
from devtools.livekit_build import numbers
from devtools.paths import WEB, cache
from devtools.venvs import tool

OLDEST_NODE = (20, 19)
INSTALLED = WEB / "node_modules" / ".throughline.json"
BUILT = WEB / "dist" / ".throughline.json"
NOT_SOURCES = ("node_modules", "dist", "build", "tests")


def is_ready() -> bool:
    """Whether the built page fits its sources."""
    return (WEB / "dist" / "index.html").exists() and stamps.read(BUILT) == _built_from()


def is_installed() -> bool:
    """Whether the page's packages fit their lock."""
    return stamps.read(INSTALLED) == _installed_from()


def prepare(*, log: Path) -> None:
    """Build the page unless that was done.

    Raises:
        DevError: npm cannot install or build.
    """
    if is_ready():
        return
    env = environment(log=log)
    install(log=log, env=env)
    run_logged(["npm", "run", "build"], log=log, env=env, cwd=WEB, hint="the page does not build")
    stamps.write(BUILT, _built_from())


def install(*, log: Path, env: dict[str, str]) -> None:
    """Install the packages of web/package-lock.json unless that was done."""
    if is_installed():
        return
    run_logged(
        ["npm", "ci", "--no-audit", "--no-fund"],
        log=log,
        env=env,
        cwd=WEB,
        hint="the page's packages could not be installed: is the npm registry reachable?",
    )
    stamps.write(INSTALLED, _installed_from())


def environment(*, log: Path) -> dict[str, str]:
    """Return an environment in which ``node`` and ``npm`` can be called."""
    env = {**os.environ, "npm_config_cache": str(cache() / "npm")}
    if not _fits():
        env["PATH"] = f"{tool('node', log=log)}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


def _fits() -> bool:
    return bool(shutil.which("npm")) and numbers(output_of(["node", "--version"])) >= OLDEST_NODE


def _installed_from() -> dict[str, str]:
    return {"lock": stamps.digest(WEB / "package-lock.json", os.uname().machine)}


def _built_from() -> dict[str, str]:
    return {"sources": stamps.tree(WEB, without=NOT_SOURCES)}
