"""Settings: what cannot work stops the start with a line that names it."""

import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import SettingsError, known_names, load

ROOT = Path(__file__).parents[3]


def load_with(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name in list(known_names()):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    return str(caught.value)


def test_defaults_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKEND_URL", "BACKEND_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert load({}).agent_name == "throughline"


@pytest.mark.parametrize("name", ["VOICE_NOPE", "VOICE_OUTBOX__FOLDERR", "VOICE_OUTBOX"])
def test_an_unknown_name_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert name in load_with(monkeypatch, **{name: "1"})


def test_the_backends_own_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_BACKEND__PORT", "1")
    load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VOICE_WORKER__ROOMS", "0"),
        ("VOICE_WORKER__METRICS_PORT", "70000"),
        ("VOICE_LOG__LEVEL", "loud"),
        ("VOICE_AGENT_NAME", "a b"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert load_with(monkeypatch, **{name: value}).startswith(name)


def test_combinations_that_cannot_work_say_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = load_with(monkeypatch, VOICE_CALL__WINDOW_KEEP="60")
    assert "VOICE_CALL__WINDOW_KEEP" in text
    assert "VOICE_CALL__WINDOW_MOST" in text
    assert "BACKEND_TOKEN" in load_with(monkeypatch, BACKEND_URL="http://x", BACKEND_TOKEN="")


def test_the_generated_files_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "config", "--check"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
