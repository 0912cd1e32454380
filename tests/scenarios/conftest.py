"""Calls in real rooms: a real LiveKit server, backend, worker and job processes, real audio."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devtools.system import System
from simulators.outside import Outside
from tests.scenarios.calling import Calling

FIXTURES = Path(__file__).parents[1] / "fixtures" / "speech"


@pytest.fixture
def spoken() -> Path:
    """The folder of spoken sentences."""
    return FIXTURES


@pytest.fixture
async def calling(system: System) -> AsyncIterator[Calling]:
    """The shared system, to call."""
    async with Outside(url=system.backend.url, token=system.backend.token) as outside:
        yield Calling(system=system, outside=outside)
