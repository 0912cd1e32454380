"""The plugin whose private parts are overridden is the one that this was written for."""

import inspect
import tomllib
from pathlib import Path

import pytest
from livekit.plugins.google.realtime import realtime_api

from voice_agent.providers.gemini import RealtimeModel, RealtimeSession, upstream
from voice_agent.providers.pinned import GEMINI, wrong_versions

ROOT = Path(__file__).parents[2]


def test_the_overridden_parts_of_the_plugin_are_what_they_were() -> None:
    changed = "\n  ".join(upstream.changed())
    assert not changed, (
        f"livekit-plugins-google changed; re-check, then update digests:\n  {changed}"
    )


def test_every_private_method_that_is_overridden_has_a_digest() -> None:
    ours = {name for name, one in vars(RealtimeSession).items() if inspect.isfunction(one)}
    theirs = set(vars(realtime_api.RealtimeSession))
    properties_and_ends = {"chat_ctx", "session_resumption_handle", "aclose"}
    assert (ours & theirs) - properties_and_ends <= upstream.OVERRIDDEN.keys()


def test_a_wrong_or_missing_version_is_one_clear_line() -> None:
    assert wrong_versions(GEMINI) == []
    wrong, missing = wrong_versions({"google-genai": "1.0", "livekit-nowhere": "1.0"})
    assert wrong.startswith("google-genai is 3.4.0, this was written for 1.0: pip install")
    assert missing == "livekit-nowhere is not installed: pip install 'livekit-nowhere==1.0'"


def test_the_versions_it_was_written_for_are_the_ones_that_are_installed_and_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locks = [(ROOT / "requirements" / name).read_text() for name in ("run.txt", "dev.txt")]
    for name, version in GEMINI.items():
        assert f"{name}=={version}" in project["dependencies"]
        assert all(f"\n{name}=={version} " in lock for lock in locks), name


def test_the_model_takes_the_plugins_own_arguments() -> None:
    model = RealtimeModel(api_key="none", voice="Kore", temperature=0.5, model="gemini-3.8-live")
    assert (model.model, model.provider) == ("gemini-3.8-live", "Gemini")
    with pytest.raises(TypeError):
        RealtimeModel(api_key="none", no_such_argument=1)
