"""``test`` and ``check``: what must be green before a commit, and what CI runs."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from devtools import node
from devtools.console import say
from devtools.paths import LOGS, ROOT, VENV, WEB, python_of

SHIPPED = (
    "agent.py",
    "dev.py",
    "backend",
    "backend_client",
    "benchmarks",
    "config",
    "devtools",
    "simulators",
    "voice_agent",
)
QUICK_TESTS = ("tests/unit", "tests/architecture")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One command that must succeed."""

    title: str
    command: Sequence[str]
    in_web: bool = False


def test(args: list[str]) -> int:
    """Become pytest."""
    python = str(python_of(VENV))
    os.chdir(ROOT)
    os.execve(python, [python, "-m", "pytest", *args], _environment())


def check(*, static_only: bool) -> int:
    """Run every check, even after a failure; 1 if any failed."""
    environ = _environment()
    node.install(log=LOGS / "setup-web.log", env=node.environment(log=LOGS / "setup-web.log"))
    failed = []
    for one in checks(static_only=static_only):
        began_at = time.monotonic()
        code = subprocess.call(one.command, cwd=WEB if one.in_web else ROOT, env=environ)
        outcome = "FAILED" if code else "ok"
        say(f"== {one.title}: {outcome} ({time.monotonic() - began_at:.1f} s)")
        failed += [one.title] if code else []
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def checks(*, static_only: bool) -> list[Check]:
    """Return the checks, the quickest first."""
    programs = VENV / "bin"
    shipped = [name for name in SHIPPED if (ROOT / name).exists()]
    quick_tests = [path for path in QUICK_TESTS if (ROOT / path).is_dir()]
    found = [
        Check(title="format", command=[str(programs / "ruff"), "format", "--check", "."]),
        Check(title="lint", command=[str(programs / "ruff"), "check", "."]),
        Check(title="import rules", command=[str(programs / "lint-imports")]),
        Check(title="types", command=[str(programs / "mypy"), "--strict", *shipped]),
        Check(title="types of the page", command=["npm", "run", "--silent", "check"], in_web=True),
    ]
    if not static_only:
        command = [str(python_of(VENV)), "-m", "pytest", "-q", *quick_tests]
        found.append(Check(title="unit tests", command=command))
    return found


def _environment() -> dict[str, str]:
    """Let tests and checks find node, wherever it came from."""
    return {**os.environ, "PATH": node.environment(log=LOGS / "setup-web.log")["PATH"]}
