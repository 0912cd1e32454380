"""LiveKit's server: from PATH, else built from its Go module, once for all checkouts."""

import os
import re
import shutil
from pathlib import Path

from devtools.commands import output_of, run_logged
from devtools.paths import cache
from devtools.venvs import drop_tool, tool

VERSION = "1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@v{VERSION}"
OLDEST_GO = (1, 26)
OLDEST_ON_PATH = (1, 13)


def numbers(text: str | None) -> tuple[int, ...]:
    """Return the first dotted number of a text: (1, 13, 5)."""
    found = re.search(r"(\d+(?:\.\d+)+)", text or "")
    return tuple(map(int, found.group(1).split("."))) if found else ()


def built() -> Path:
    """Return where the built server is kept."""
    return cache() / "bin" / f"livekit-server-{VERSION}"


def find_livekit() -> Path | None:
    """Return a server that can be used: a fitting one on PATH, else the one built before."""
    on_path = shutil.which("livekit-server")
    if on_path and numbers(output_of([on_path, "--version"]))[:2] >= OLDEST_ON_PATH:
        return Path(on_path)
    return built() if built().exists() else None


def build_livekit(*, log: Path) -> None:
    """Build the server, with the Go on PATH or one from a wheel; keep nothing but the server.

    Raises:
        DevError: its modules cannot be had, or do not build.
    """
    if find_livekit():
        return
    on_path = shutil.which("go")
    fits = on_path and numbers(output_of([on_path, "version"], env=_go_env()))[:2] >= OLDEST_GO
    go = Path(on_path) if on_path and fits else tool("go", log=log, keep=False) / "go"
    work = cache() / "go"
    run_logged(
        [go, "install", "-trimpath", "-ldflags=-s -w", MODULE],
        log=log,
        env=_go_env(),
        hint="LiveKit's server could not be built: is the Go module proxy reachable?"
        " A livekit-server on PATH is used as it is",
    )
    built().parent.mkdir(parents=True, exist_ok=True)
    (work / "bin" / "server").replace(built())
    # 1 GB of modules and objects, and the compiler, are of no more use: the server is never
    # built again until its version changes.
    run_logged([go, "clean", "-modcache"], log=log, env=_go_env(), hint="Go's cache stays")
    shutil.rmtree(work)
    drop_tool("go")


def _go_env() -> dict[str, str]:
    """Everything in the cache; no other toolchain is fetched; no C compiler is needed."""
    work = cache() / "go"
    return {
        **os.environ,
        "GOBIN": str(work / "bin"),
        "GOCACHE": str(work / "objects"),
        "GOMODCACHE": str(work / "modules"),
        "GOPATH": str(work / "path"),
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
