"""Set-up: made once, made again when what it was made from changes; the verbs and the figures."""

import re
import threading
from pathlib import Path

import pytest

from devtools import checks, cli, disk, figures, lock_requirements, locks, node, stamps, venvs
from devtools.errors import DevError
from devtools.livekit_build import numbers
from devtools.paths import ROOT
from tests.support.waiting import wait_until


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that looks like an environment, for lists of its own."""
    lists = tmp_path / "requirements"
    lists.mkdir()
    for kind in venvs.KINDS:
        (lists / f"{kind}.txt").write_text(f"{kind}==1\n")
    monkeypatch.setattr(venvs, "REQUIREMENTS", lists)
    made = tmp_path / "venv"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "python").touch()
    return made


def stamp(venv: Path, kind: str) -> None:
    held = {"python": "3.11.7", kind: venvs.key_of(kind, "3.11.7")}
    stamps.write(venv / venvs.STAMP, held)


def test_an_environment_without_a_stamp_is_not_ready(venv: Path) -> None:
    assert not venvs.is_ready("run", venv)


def test_a_developers_environment_serves_run_too_but_not_the_other_way(venv: Path) -> None:
    stamp(venv, "dev")
    assert venvs.is_ready("run", venv)
    assert venvs.is_ready("dev", venv)
    stamp(venv, "run")
    assert venvs.is_ready("run", venv)
    assert not venvs.is_ready("dev", venv)


def test_a_changed_list_makes_the_environment_stale(venv: Path, tmp_path: Path) -> None:
    stamp(venv, "run")
    (tmp_path / "requirements" / "run.txt").write_text("run==2\n")
    assert not venvs.is_ready("run", venv)


def test_a_stamp_without_its_interpreter_is_worth_nothing(venv: Path) -> None:
    stamp(venv, "run")
    (venv / "bin" / "python").unlink()
    assert not venvs.is_ready("run", venv)


def test_a_damaged_stamp_counts_as_none(venv: Path) -> None:
    (venv / venvs.STAMP).write_text("[")
    assert not venvs.is_ready("run", venv)


def test_a_page_is_built_again_when_a_source_changes_or_moves(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "node_modules").mkdir()
    source = tmp_path / "src" / "call.ts"
    source.write_text("one")
    first = stamps.tree(tmp_path, without=node.NOT_SOURCES)
    (tmp_path / "node_modules" / "x").write_text("anything")
    assert stamps.tree(tmp_path, without=node.NOT_SOURCES) == first
    source.write_text("two")
    second = stamps.tree(tmp_path, without=node.NOT_SOURCES)
    source.rename(tmp_path / "src" / "talk.ts")
    assert len({first, second, stamps.tree(tmp_path, without=node.NOT_SOURCES)}) == 3


def test_a_second_set_up_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    lock = tmp_path / "setup.lock"

    def second() -> None:
        with locks.held(lock, on_wait=lambda: order.append("waits")):
            order.append("second")

    with locks.held(lock):
        other = threading.Thread(target=second)
        other.start()
        wait_until(lambda: order == ["waits"])
        order.append("first ends")
    other.join(5)
    assert order == ["waits", "first ends", "second"]


def test_a_full_disk_is_one_line_that_says_how_much_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"no room on the disk of .* needs .* MB, .* MB are free"):
        disk.require({tmp_path: disk.free_mb(tmp_path) + 10_000}, what="the set-up")


def test_needs_on_one_disk_add_up(tmp_path: Path) -> None:
    half = disk.free_mb(tmp_path) // 2 + 1_000
    with pytest.raises(DevError, match="no room"):
        disk.require({tmp_path / "a": half, tmp_path / "b": half}, what="the set-up")


def test_a_hard_link_takes_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 1_000_000)
    before = disk.size_mb(tmp_path / "a")
    (tmp_path / "two").hardlink_to(tmp_path / "a" / "one")
    assert disk.size_mb(tmp_path / "a", tmp_path) == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("v20.20.2", (20, 20, 2)),
        ("livekit-server version 1.13.5", (1, 13, 5)),
        (None, ()),
        ("no number", ()),
    ],
)
def test_versions_are_read_from_what_programs_print(
    text: str | None, found: tuple[int, ...]
) -> None:
    assert numbers(text) == found


def test_the_makefile_has_dev_pys_verbs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    verbs = re.search(r"^VERBS := (.*)$", makefile, re.MULTILINE)
    assert verbs
    actions = cli._arguments()._subparsers._group_actions  # type: ignore[union-attr]
    assert set(verbs[1].split()) == set(actions[0].choices)  # type: ignore[arg-type]


def test_an_error_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise DevError("no room: free some", details="a log line", code=3)

    monkeypatch.setattr("devtools.run.stop", fails)
    assert cli.main(["stop"]) == 3
    assert capsys.readouterr().err == "  | a log line\ndev.py: no room: free some\n"


def test_every_shipped_package_is_type_checked() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    scripts = {path.name for path in ROOT.glob("*.py")}
    assert packages | scripts <= set(checks.SHIPPED)


def test_each_lock_holds_on_to_the_one_below(tmp_path: Path) -> None:
    command = lock_requirements.compile_command(tmp_path / "b", ["local"], tmp_path / "a")
    below, target = str(tmp_path / "a"), str(tmp_path / "b")
    assert command[-5:] == ["-c", below, "pyproject.toml", "-o", target]
    assert "--generate-hashes" in command


def test_the_readme_says_what_the_first_set_up_costs() -> None:
    readme = (ROOT / "README.md").read_text()
    for figure in (
        f"{figures.SETUP_MINUTES} minutes",
        f"{figures.KEPT_MB / 1000:.1f} GB",
        f"{figures.BUILD_MB / 1000:.1f} GB",
    ):
        assert figure in readme
