"""The stand-in for the Gemini Live service, and what blocks done beforehand."""

import pytest

from voice_agent.providers.gemini import prepare


@pytest.fixture(scope="session", autouse=True)
def gemini_prepared() -> None:
    """As a job process does before its loop runs."""
    prepare()
