"""Virtual environments, filled with exactly what a hash-pinned list names.

uv does it in seconds; where it cannot be had, pip does the same more slowly.
"""

import os
import shutil
import sys
from pathlib import Path

from devtools import stamps
from devtools.commands import output_of, run_logged
from devtools.errors import DevError
from devtools.paths import REQUIREMENTS, VENV, cache, python_of

STAMP = "throughline.json"
KINDS = ("run", "dev")
PIP_INSTALL = ("install", "--no-deps", "--require-hashes", "--no-input")
INSTALL_HINT = "the Python packages could not be installed: is the package index reachable?"


def key_of(kind: str, python: str) -> str:
    """Return what an installation of this list depends on."""
    return stamps.digest(REQUIREMENTS / f"{kind}.txt", python, sys.platform, os.uname().machine)


def is_ready(kind: str, venv: Path = VENV) -> bool:
    """Whether the project's environment holds what ``kind`` needs; ``dev`` includes ``run``."""
    held = stamps.read(venv / STAMP)
    python = held.get("python", "")
    wanted = KINDS[KINDS.index(kind) :]
    return python_of(venv).exists() and any(held.get(k) == key_of(k, python) for k in wanted)


def prepare(kind: str, *, log: Path, venv: Path = VENV) -> None:
    """Make the project's environment, or bring it up to date. A developer's one stays one.

    Raises:
        DevError: Python has no venv module, or a package cannot be installed.
    """
    if is_ready(kind, venv):
        return
    held = stamps.read(venv / STAMP)
    if "dev" in held:
        kind = "dev"
    (venv / STAMP).unlink(missing_ok=True)
    make(venv, log=log)
    python = version_of(venv)
    if python is None:
        raise DevError(f"{python_of(venv)} does not run: delete {venv} and try again")
    sync(venv, REQUIREMENTS / f"{kind}.txt", log=log)
    stamps.write(venv / STAMP, {"python": python, kind: key_of(kind, python)})


def version_of(venv: Path) -> str | None:
    """Return the version of an environment's interpreter, or None when it does not run."""
    return output_of(
        [python_of(venv), "-c", "import platform; print(platform.python_version(), end='')"]
    )


def make(venv: Path, *, log: Path) -> None:
    """Create the environment unless there is a working one."""
    version = version_of(venv)
    if version is not None and tuple(map(int, version.split(".")[:2])) >= (3, 11):
        return
    if venv.exists():
        shutil.rmtree(venv)
    run_logged(
        [sys.executable, "-m", "venv", venv],
        log=log,
        hint="Python's venv module does not work: on Debian and Ubuntu install python3-venv",
    )


def sync(venv: Path, requirements: Path, *, log: Path, keep: bool = True) -> None:
    """Install exactly what the list names, every file checked against its hash.

    ``keep``: whether uv's cache shall hold it too (the same files, linked), for the next time.
    """
    uv = find_uv(log=log)
    options = ["--require-hashes", *([] if keep else ["--no-cache"])]
    if uv is not None:
        run_logged(
            [uv, "pip", "sync", *options, "--python", python_of(venv), requirements],
            log=log,
            env=_uv_environment(uv),
            hint=INSTALL_HINT,
        )
        return
    _pip(venv, requirements, log=log)


def _pip(venv: Path, requirements: Path, *, log: Path) -> None:
    run_logged(
        [python_of(venv), "-m", "pip", *PIP_INSTALL, "-r", requirements],
        log=log,
        hint=INSTALL_HINT,
    )


def _uv_environment(uv: Path) -> dict[str, str]:
    """Let uv read the index that pip was told, and keep our own uv's cache where we clean it."""
    env = dict(os.environ)
    if uv.is_relative_to(cache()):
        env.setdefault("UV_CACHE_DIR", str(cache() / "uv"))
    if index := env.get("PIP_INDEX_URL"):
        env.setdefault("UV_DEFAULT_INDEX", index)
    return env


def uv_on_path() -> Path | None:
    """Return the uv on PATH, if it runs (a pyenv shim without a chosen version does not)."""
    found = shutil.which("uv")
    return Path(found) if found and output_of([found, "--version"]) else None


def has_uv() -> bool:
    """Whether uv can be used without installing it."""
    return uv_on_path() is not None or _tool_is_ready("uv")


def find_uv(*, log: Path) -> Path | None:
    """Return uv: from PATH, else installed once into the cache; None when it cannot be had."""
    if on_path := uv_on_path():
        return on_path
    try:
        return tool("uv", log=log) / "uv"
    except DevError:
        with log.open("a") as out:
            out.write("uv cannot be had here: pip does its work\n")
        return None


def tool(name: str, *, log: Path, keep: bool = True) -> Path:
    """Install ``requirements/NAME.txt`` into an environment of its own in the cache, once.

    Returns the folder of its commands.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    venv = cache() / "tools" / name
    if not _tool_is_ready(name):
        if venv.exists():
            shutil.rmtree(venv)
        make(venv, log=log)
        if name == "uv":
            _pip(venv, requirements, log=log)
        else:
            sync(venv, requirements, log=log, keep=keep)
        stamps.write(venv / STAMP, {"key": _tool_key(name)})
    return python_of(venv).parent


def _tool_is_ready(name: str) -> bool:
    venv = cache() / "tools" / name
    return stamps.read(venv / STAMP).get("key") == _tool_key(name) and python_of(venv).exists()


def _tool_key(name: str) -> str:
    return stamps.digest(REQUIREMENTS / f"{name}.txt", sys.version, os.uname().machine)


def drop_tool(name: str) -> None:
    """Remove a tool that has done its work."""
    shutil.rmtree(cache() / "tools" / name, ignore_errors=True)
