"""Where everything is: in the checkout, and in the cache outside it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
RUN = ROOT / ".run"
WEB = ROOT / "web"
REQUIREMENTS = ROOT / "requirements"
DEMOS = RUN / "demos"
LOGS = RUN / "logs"


def cache() -> Path:
    """Return the folder for what all checkouts share: tools built or installed once."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return home / "throughline"


def python_of(venv: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return venv / "bin" / "python"


def shown(path: Path) -> str:
    """Return a path as a person wants to read it: short where it is inside the checkout."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)
