"""The documents say what is: every path, test, figure and error line that they name is there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from config.settings import PREFIX, known_names
from devtools import figures

ROOT = Path(__file__).parents[3]
PLACES = ("*.md", "docs/**/*.md", "k8s/**/*.md", "tests/**/*.md", "web/*.md")
PROGRAMS = ("voice_agent", "backend_client", "backend")
TOP = {path.name for path in ROOT.iterdir()}
MADE = {".venv", ".run", "dist"}
"""Folders that are made by running, so that no commit has them."""


@cache
def documents() -> dict[str, bytes]:
    """The documents of the repository, by their path."""
    found = [path for pattern in PLACES for path in ROOT.glob(pattern)]
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in found}


def text(name: str) -> str:
    return documents()[name].decode()


@cache
def existing_tests() -> frozenset[str]:
    found = (re.findall(r"def (test_\w+)\(", path.read_text()) for path in python_of("tests"))
    return frozenset(name for names in found for name in names)


def python_of(*folders: str) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def quoted(name: str) -> list[str]:
    """What a document has in single backticks."""
    prose = re.sub(r"^```.*?^```", "", text(name), flags=re.S | re.M)
    return re.findall(r"`([^`\n]+)`", prose)


def is_path(word: str) -> bool:
    first = word.split("/", maxsplit=1)[0]
    return bool(re.fullmatch(r"[\w.-]+(/[\w.*-]+)*/?", word)) and first in TOP and "*" not in word


def error_lines() -> set[str]:
    """What the programs log as an error, up to the colon behind which the details begin."""
    lines: set[str] = set()
    for path in python_of(*PROGRAMS):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="error" | "exception", value=ast.Name(id="log")),
                    args=[ast.Constant(value=str(line)), *_],
                ):
                    lines.add(line.split(":")[0])
    return lines


@pytest.mark.parametrize("name", sorted(documents()))
def test_a_document_is_utf_8_and_every_path_it_names_is_there(name: str) -> None:
    assert "\ufffd" not in text(name)
    paths = [word.rstrip("/") for word in quoted(name) if is_path(word)]
    kept = [path for path in paths if not MADE & set(path.split("/"))]
    assert [path for path in kept if not (ROOT / path).exists()] == []


def test_every_module_in_the_architectures_drawings_is_there() -> None:
    drawn = re.findall(r"^    .*$", text("ARCHITECTURE.md"), flags=re.M)
    modules = {word for line in drawn for word in re.findall(r"[\w/]+\.py\b", line)}
    assert len(modules) > 5
    homes = (ROOT, ROOT / "voice_agent")
    assert [m for m in sorted(modules) if not any((home / m).exists() for home in homes)] == []


@pytest.mark.parametrize("name", sorted(documents()))
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", text(name))
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not ((ROOT / name).parent / link).exists()] == []


@pytest.mark.parametrize("name", sorted(documents()))
def test_every_test_a_document_names_exists(name: str) -> None:
    named = {word for word in quoted(name) if re.fullmatch(r"test_\w+", word)}
    assert named - existing_tests() == set()


@pytest.mark.parametrize("name", sorted(documents()))
def test_every_setting_a_document_names_exists(name: str) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b(?!_)", text(name)))
    ours = {word for word in named if not word.startswith("VOICE_BACKEND__")}
    assert ours - known_names() == set()


@pytest.mark.parametrize("name", ["README.md", "docs/state-ownership.md"])
def test_every_promise_of_what_survives_names_its_test(name: str) -> None:
    rows = [line for line in text(name).splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert [row for row in rows[1:] if "`test_" not in row] == []


def test_the_readme_says_what_the_set_up_costs_before_the_first_command() -> None:
    cost, _, rest = text("README.md").partition("    make run")
    assert f"about {figures.SETUP_MINUTES} minutes" in cost
    assert f"{figures.BUILD_MB / 1000:.1f} GB" in cost
    assert f"keeps {figures.KEPT_MB / 1000:.1f} GB" in cost
    assert f"the tests {figures.TEST_MB / 1000:.1f} GB" in cost
    assert "make test" in rest


def test_the_runbook_has_every_line_that_is_logged_as_an_error() -> None:
    lines = error_lines()
    assert "outbox takes no records" in lines
    assert lines - set(quoted("docs/runbook.md")) == set()
